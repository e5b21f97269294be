"""Steps of a log as rows: means over the steps of all replicas, or over some steps of each.

one process                 1 2 3 4 ...                a row for each
two replicas                1 2 | 3 4 | ...            a row for a step of each
every = 100                 1 ... 100 | 101 ... | ...  a row for so many, and one for those at the end
a thinned log (thin.py)     [1-4] [5-8] ...            a row for each sum at most
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lnet.runtime.store.events import StepDone, StepsDone, Validated
from lnet.runtime.store.thin import is_spread, steps_in

from .names import named


@dataclass
class Row:
    """Steps of the `replicas`; the last one, `step` of each replica, ended at `time`."""

    replicas: int
    step: int = 0
    time: float = 0.0
    images: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, event: StepDone | StepsDone, images: int, seconds: float) -> None:
        """Add the steps of an event, in which so many images were seen in so many seconds."""
        self.step, self.time = -(-event.step // self.replicas), event.time
        self.images, self.seconds = self.images + images, self.seconds + seconds
        for name, value in figures_of(event).items():
            self.sums[name] += value if isinstance(value, float | int) else value.sum
            self.counts[name] += 1 if isinstance(value, float | int) else value.count

    def values(self, rate: float) -> dict[str, float]:
        """Return the figures by name; `rate` is the learning rate."""
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        speed = self.images / max(self.seconds, 1e-9)
        return named("train", {**means, "learning rate": rate}) | named("speed", {"images per second": speed})


def figures_of(event: StepDone | StepsDone | Validated) -> Mapping[str, Any]:
    """Return the loss of an event, the objectives if it is a sum of several, and the accuracies."""
    objectives = event.objectives if len(event.objectives) > 1 else {}
    return {"loss": event.loss, **objectives, **event.accuracies}


class Rows:
    """Makes rows of steps, which are added in the order of the log; `every`: over how many steps of each replica."""

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._row: Row | None = None
        self._group = 0
        self._last: StepDone | StepsDone | None = None
        self._ended: float | None = None

    def whole(self, step: int) -> int:
        """Return the last step up to which rows are whole at a step."""
        return step - step % self._every

    def add(self, event: StepDone | StepsDone, replicas: int) -> Iterator[Row]:
        """Add steps, those of all `replicas` counted together; yield rows that are whole."""
        images, seconds = self._images(event), self._seconds(event, replicas)
        self._last, self._ended = event, event.time
        group = -(-event.step // (replicas * self._every))
        if group != self._group:
            yield from self.rest()
        self._row, self._group = self._row or Row(replicas), group
        self._row.add(event, images, seconds)
        if event.step == group * replicas * self._every:
            yield from self.rest()

    def pause(self) -> None:
        """Count no time until the next step: another process trains the run."""
        self._ended = None

    def rest(self) -> Iterator[Row]:
        """Yield the row that is not whole, if there is one, as it is."""
        row, self._row = self._row, None
        if row is not None:
            yield row

    def _images(self, event: StepDone | StepsDone) -> int:
        """Return the images of the steps of an event: since the one before, whose batch may have been another."""
        count, before = steps_in(event), self._last
        if before is not None and event.step == before.step + count and event.images > before.images:
            return event.images - before.images
        return event.images * count // max(1, event.step)

    def _seconds(self, event: StepDone | StepsDone, replicas: int) -> float:
        """Return the seconds of the steps of an event: on a cluster, where they overlap, those since the one before."""
        if is_spread(event) and self._ended is not None:
            return max(0.0, event.time - self._ended)
        seconds = event.seconds if isinstance(event, StepDone) else event.seconds.sum
        return seconds / (replicas if is_spread(event) else 1)
