"""Time in which this process's event loop keeps up: an answer that it is late to see was not late.

ticks are due    |     |     |     |     |     |     |     |
ticks come       |     |     |   (a thread compiles, and holds the interpreter)   |     |
the clock       0.0   0.5   1.0                                                  1.0   1.5
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lnet.runtime.cluster import clock


@dataclass
class Awake:
    """Counts the time between ticks, which the loop is to give every `interval` seconds, less what they are late."""

    interval: float
    counted: float = 0.0
    ticked: float = field(default_factory=clock.now)

    def now(self) -> float:
        return self.counted

    def tick(self) -> None:
        now = clock.now()
        late = now - self.ticked - self.interval
        self.counted, self.ticked = self.counted + max(0.0, self.interval - max(0.0, late)), now
