"""The history of a run from its log: steps as averaged curves and columns, all other events unchanged.

A log of half a million steps is read line by line and never held as a whole: each step is added to sums and means, and
on a cluster to the columns.

    losses    4.1 3.9 | 3.6 3.5 | 3.3 3.2 | ...      means of 1, 2, 4, ... steps, at most POINTS of them
    columns   at, replica, bytes, ...                a number for every step on a cluster
    timed     (0.0, start), (12.5, worker lost), ... all other events, with the second of the run
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lnet.runtime.store.events import (
    ClusterStepDone,
    Failed,
    LogEvent,
    Resumed,
    Slowest,
    StepDone,
    Warned,
)

Values = NDArray[np.float64]
POINTS = 600
"""A curve of more steps is averaged into at most this many points, so that a long run's page stays small."""
RECENT = 50
"""Number of steps at the end over which the last losses are averaged."""
UNKNOWN = Slowest(-1, np.nan, np.nan, np.nan)
SLOWEST = ("seconds", "waited", "exchanged")
"""Columns of the slowest tile of a step on a cluster."""
COLUMNS = ("at", "replica", "bytes", "traffic", *(f"slowest {name}" for name in SLOWEST))
"""Columns of each step on a cluster: its second of the run, and its figures in the log."""


class Means:
    """Means of named values over runs of equally many steps: runs double where there would be more than POINTS."""

    def __init__(self) -> None:
        self.length, self.added = 1, 0
        self._sums: dict[str, Values] = {}
        self._counts: dict[str, Values] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Add the values of a step; a name without a value in this step is not counted."""
        if self.added == self.length * POINTS:
            self.length *= 2
            for table in (self._sums, self._counts):
                table.update({name: _halved(bins) for name, bins in table.items()})
        bin_ = self.added // self.length
        for name, value in values.items():
            if name not in self._sums:
                self._sums[name], self._counts[name] = np.zeros(POINTS), np.zeros(POINTS)
            self._sums[name][bin_] += value
            self._counts[name][bin_] += 1
        self.added += 1

    def curves(self) -> dict[str, Values]:
        """Return the means of each name: NaN where no step had it."""
        used = -(-self.added // self.length)
        with np.errstate(invalid="ignore"):
            return {name: (self._sums[name] / self._counts[name])[:used] for name in self._sums}


def _halved(bins: Values) -> Values:
    return np.concatenate([bins.reshape(-1, 2).sum(1), np.zeros(POINTS // 2)])


@dataclass
class Steps:
    """The steps of a run: how many, the `newest`, sums and means; `columns` has numbers of each step on a cluster."""

    count: int = 0
    newest: StepDone | None = None
    seconds: float = 0.0
    waited: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    objectives: Means = field(default_factory=Means)
    accuracies: Means = field(default_factory=Means)
    numbers: Means = field(default_factory=Means)
    first: dict[str, float] = field(default_factory=dict)
    recent: deque[Mapping[str, float]] = field(default_factory=lambda: deque(maxlen=RECENT))
    columns: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in COLUMNS})

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> Values:
        """Return a column, NaN where a step has no such number."""
        return np.frombuffer(self.columns[name])

    @property
    def spread(self) -> int:
        """The number of steps made on a cluster."""
        return len(self.columns["at"])

    @property
    def on_cluster(self) -> bool:
        """Whether the last step was on a cluster, where the steps of all replicas are counted."""
        return isinstance(self.newest, ClusterStepDone)

    @property
    def last(self) -> dict[str, float]:
        """The mean of each objective over the last steps."""
        return {name: float(np.mean([step.get(name, np.nan) for step in self.recent])) for name in self.first}

    def add(self, at: float, event: StepDone) -> None:
        """Add a step that ended at this second of the run."""
        if not self.count:
            self.began = at - event.seconds
        self.count, self.newest, self.ended = self.count + 1, event, at
        self.seconds += event.seconds
        self.waited += event.waited
        self.objectives.add(event.objectives)
        self.accuracies.add(event.accuracies)
        self.numbers.add({"step": event.step, "seconds": event.seconds})
        for name, value in event.objectives.items():
            self.first.setdefault(name, value)
        self.recent.append(event.objectives)
        if isinstance(event, ClusterStepDone):
            for column, number in zip(self.columns.values(), _row(at, event), strict=True):
                column.append(number)


def _row(at: float, event: ClusterStepDone) -> tuple[float, ...]:
    """Return a number for each of COLUMNS: nan where an older log has none."""
    slowest = event.slowest or UNKNOWN
    traffic = np.nan if event.traffic is None else event.traffic
    return at, event.replica, event.bytes, traffic, slowest.seconds, slowest.waited, slowest.exchanged


@dataclass(frozen=True)
class History:
    """`timed`: all events but steps, with the run's second of each; `made`: number of cluster steps before each."""

    steps: Steps
    timed: tuple[tuple[float, LogEvent], ...]
    made: tuple[int, ...]

    @property
    def events(self) -> tuple[LogEvent, ...]:
        return tuple(event for _, event in self.timed)

    def messages(self, kind: type[Failed | Warned]) -> list[str]:
        """Return the messages of the events of a kind."""
        return [event.message for event in self.events if isinstance(event, kind)]


def history_of(events: Iterable[LogEvent]) -> History:
    """Return the history from an iterator over a log's events."""
    steps, timed, made = Steps(), [], []
    for at, event in running_times(events):
        if isinstance(event, StepDone):
            steps.add(at, event)
        else:
            timed.append((at, event))
            made.append(steps.spread)
    return History(steps, tuple(timed), tuple(made))


def running_times(events: Iterable[LogEvent]) -> Iterator[tuple[float, LogEvent]]:
    """Yield every event with its second of running time, without pauses before a resume."""
    running, last = 0.0, None
    for event in events:
        if last is not None and not isinstance(event, Resumed):
            running += max(0.0, event.time - last)
        last = event.time
        yield running, event
