"""Keep freed memory: a training step frees and takes the same gigabytes again and again.

glibc gives large blocks back to the system as soon as they are freed, and the kernel clears every page again when the
next step asks for them. On a processor that costs a quarter of a step of a large network (docs/performance.md); the
most that is held at one time stays the same.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed memory for this process; return whether it agreed.

    Nothing happens where there is no glibc, or where the environment has settings of its own for it.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return all(
        mallopt(*option)
        for option in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _LARGEST))
    )
