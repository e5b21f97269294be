"""The clock that a process of a run decides by: it never jumps, and goes on while the machine sleeps.

`time.monotonic()` stands still in suspend on Linux: a primary that slept would take its lease for one that still holds,
when its standby was promoted long ago. The wall clock (`time.time()`) may be set; it is for time stamps.
"""

from __future__ import annotations

import time

_SLEEPLESS: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Return seconds since some moment, those included in which the machine slept, where the system counts them."""
    return time.monotonic() if _SLEEPLESS is None else time.clock_gettime(_SLEEPLESS)
