"""The history of a run from its log: steps as averaged curves and columns, all other events unchanged.

A log is read line by line and never held as a whole: each step is added to sums and means, and on a cluster to the
columns. An old step is part of a sum in the log (store/thin.py), and added with the others there.

    losses    4.1 3.9 | 3.6 3.5 | 3.3 3.2 | ...      means of 1, 2, 4, ... steps, at most POINTS of them
    validated 3.8 | 3.4 | ...                        means of 1, 2, 4, ... validations, at most POINTS of them
    columns   ended, replica, bytes, ...             a number for every step on a cluster, or for every sum of a replica's
    timed     (0.0, start), (12.5, worker lost), ... all other events, with the second of the run
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from lnet.runtime.store.events import (
    Failed,
    LogEvent,
    Resumed,
    StepDone,
    StepsDone,
    Validated,
    Warned,
)
from lnet.runtime.store.log import replicas_from
from lnet.runtime.store.sums import Figures, ReplicaSteps
from lnet.runtime.store.thin import by_replica, is_spread, steps_in

Values = NDArray[np.float64]
POINTS = 600
"""A curve of more steps is averaged into at most this many points, so that a long run's page stays small."""
RECENT = 50
"""Number of steps at the end over which the last losses are averaged."""
NUMBERS, CLOCK = tuple(column.name for column in fields(ReplicaSteps)), ("began", "ended")
"""Columns of steps on a cluster beside `replica`, and those that are in seconds of the run; the others are as in the log."""
_numbers_of = attrgetter(*NUMBERS)


class Means:
    """Means of named values over runs of equally many steps: runs double where there would be more than POINTS."""

    def __init__(self) -> None:
        self.length, self.added = 1, 0
        self._sums: dict[str, Values] = {}
        self._counts: dict[str, Values] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Add the values of a step; a name without a value in this step is not counted."""
        bin_ = self._bin(1)
        for name, value in values.items():
            self._add(name, bin_, value, 1)

    def add_sums(self, sums: Mapping[str, Figures], steps: int) -> None:
        """Add the values of so many steps."""
        bin_ = self._bin(steps)
        for name, figures in sums.items():
            self._add(name, bin_, figures.sum, figures.count)

    def _bin(self, steps: int) -> int:
        """Return where the next so many steps belong."""
        while self.added + steps > self.length * POINTS:
            self.length *= 2
            for table in (self._sums, self._counts):
                table.update({name: _halved(bins) for name, bins in table.items()})
        self.added += steps
        return (self.added - steps) // self.length

    def _add(self, name: str, bin_: int, value: float, count: int) -> None:
        if name not in self._sums:
            self._sums[name], self._counts[name] = np.zeros(POINTS), np.zeros(POINTS)
        self._sums[name][bin_] += value
        self._counts[name][bin_] += count

    def curves(self) -> dict[str, Values]:
        """Return the means of each name: NaN where no step had it."""
        used = -(-self.added // self.length)
        with np.errstate(invalid="ignore"):
            return {name: (self._sums[name] / self._counts[name])[:used] for name in self._sums}


def _halved(bins: Values) -> Values:
    return np.concatenate([bins.reshape(-1, 2).sum(1), np.zeros(POINTS // 2)])


@dataclass
class Averages:
    """Means of objectives, accuracies and numbers, the number of the `step` among them."""

    objectives: Means = field(default_factory=Means)
    accuracies: Means = field(default_factory=Means)
    numbers: Means = field(default_factory=Means)

    @property
    def at(self) -> Values:
        """The step of each mean."""
        return self.numbers.curves()["step"]

    def losses(self) -> dict[str, Values]:
        """Return the curves of the objectives, with their sum, the loss, first."""
        found = self.objectives.curves()
        total = {"loss": np.sum(list(found.values()), axis=0)} if found else {}
        return total | (found if len(found) > 1 else {})

    def shares(self) -> dict[str, Values]:
        """Return the curves of the accuracies."""
        return self.accuracies.curves()


@dataclass
class Steps(Averages):
    """The steps of a run: how many, of how many `images`, the `newest`, sums and means; `columns` are of those on a cluster,
    `last_ends` of each replica's last one, by the clock.
    """

    count: int = 0
    images: int = 0
    newest: StepDone | StepsDone | None = None
    seconds: float = 0.0
    waited: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    first: dict[str, float] = field(default_factory=dict)
    recent: deque[Mapping[str, float]] = field(default_factory=lambda: deque(maxlen=RECENT))
    columns: dict[str, array[float]] = field(
        default_factory=lambda: {name: array("d") for name in ("replica", *NUMBERS)}
    )
    last_ends: dict[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> Values:
        """Return a column, NaN where a step has no such number."""
        return np.frombuffer(self.columns[name])

    @property
    def spread(self) -> int:
        """The length of the columns."""
        return len(self.columns["replica"])

    @property
    def on_cluster(self) -> bool:
        """Whether the last step was on a cluster, where the steps of all replicas are counted."""
        return self.newest is not None and is_spread(self.newest)

    @property
    def last(self) -> dict[str, float]:
        """The mean of each objective over the last steps."""
        return {name: float(np.mean([step.get(name, np.nan) for step in self.recent])) for name in self.first}

    def add(self, at: float, event: StepDone | StepsDone) -> None:
        """Add steps of which the last one ended at this second of the run."""
        count, images = steps_in(event), self._images(event)
        match event:
            case StepDone():
                seconds, means = event.seconds, event.objectives
                self.objectives.add(means)
                self.accuracies.add(event.accuracies)
                self.numbers.add({"step": event.step, "seconds": seconds, "images": images})
            case StepsDone():
                seconds, means = event.seconds.sum, {name: f.mean for name, f in event.objectives.items()}
                self.objectives.add_sums(event.objectives, event.count)
                self.accuracies.add_sums(event.accuracies, event.count)
                numbers = {"step": _numbers(event), "seconds": event.seconds}
                numbers["images"] = Figures(count, images, images / count, images / count)
                self.numbers.add_sums(numbers, count)
        if not self.count:
            self.began = at - seconds
        self.count, self.newest, self.ended = self.count + count, event, at
        self.images += images
        self.seconds += seconds
        self.waited += event.waited
        for name, value in means.items():
            self.first.setdefault(name, value)
        self.recent.extend([means] * min(count, RECENT))
        for replica, part in by_replica(event, self.last_ends).items():
            shift = at - event.time  # from the clock to the seconds of the run
            self.columns["replica"].append(replica)
            for name, number in zip(NUMBERS, _numbers_of(part), strict=True):
                self.columns[name].append(number + shift if name in CLOCK else number)

    def rates(self) -> Values:
        """Return the curve of the images per second."""
        numbers = self.numbers.curves()
        return numbers["images"] / np.maximum(numbers["seconds"], 1e-9)

    def _images(self, event: StepDone | StepsDone) -> int:
        """Return the images of the steps of an event: since the one before, whose batch may have been another."""
        count, before = steps_in(event), self.newest
        if before is not None and event.step == before.step + count and event.images > before.images:
            return event.images - before.images
        return event.images * count // max(1, event.step)


def _numbers(steps: StepsDone) -> Figures:
    """Return the numbers of steps, which follow each other."""
    first = steps.step - steps.count + 1
    return Figures(steps.count, steps.count * (first + steps.step) / 2, first, steps.step)


@dataclass
class Validations(Averages):
    """The validations of a run: the `newest`, and the one whose parameters are kept as the best."""

    newest: Validated | None = None
    best: Validated | None = None

    def add(self, event: Validated, step: int) -> None:
        """Add a validation after a step, on a cluster that of all replicas."""
        self.newest, self.best = event, event if event.best else self.best
        self.objectives.add(event.objectives)
        self.accuracies.add(event.accuracies)
        self.numbers.add({"step": step})


@dataclass
class History:
    """`timed`: all events but steps, with the run's second of each; `made`: the length of the steps' columns before each;
    `replicas`: how many count their steps together now.

    The run's seconds are those of running time, without pauses before a resume.
    """

    steps: Steps = field(default_factory=Steps)
    validations: Validations = field(default_factory=Validations)
    timed: list[tuple[float, LogEvent]] = field(default_factory=list)
    made: list[int] = field(default_factory=list)
    replicas: int = 1
    _running: float = 0.0
    _last: float | None = None

    def take(self, event: LogEvent) -> None:
        """Take the next event of the log in."""
        if self._last is not None and not isinstance(event, Resumed):
            self._running += max(0.0, event.time - self._last)
        self._last = event.time
        self.replicas = replicas_from(event, self.replicas)
        if isinstance(event, StepDone | StepsDone):
            self.steps.add(self._running, event)
            return
        if isinstance(event, Validated):
            self.validations.add(event, event.step * self.replicas)
        self.timed.append((self._running, event))
        self.made.append(self.steps.spread)

    @property
    def events(self) -> tuple[LogEvent, ...]:
        return tuple(event for _, event in self.timed)

    def messages(self, kind: type[Failed | Warned]) -> list[str]:
        """Return the messages of the events of a kind."""
        return [event.message for event in self.events if isinstance(event, kind)]


def history_of(events: Iterable[LogEvent]) -> History:
    """Return the history from an iterator over a log's events."""
    history = History()
    for event in events:
        history.take(event)
    return history
