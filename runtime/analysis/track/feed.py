"""What of a log goes to a tracker: the only place that knows both events and trackers.

    steps          rows: means over replicas, and over `every` steps (rows.py)
    validations    rows of their own
    checkpoints    pictures and histograms of their parameters (parameters.py)
    MESSAGES       text

A feed takes a log from its first event on, and passes over what the position says was sent. Steps, validations and
checkpoints are known by their numbers since the run turned back last; messages, which nothing makes void, are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from lnet.runtime.store.events import (
    CheckpointWritten,
    ClusterBegun,
    Completed,
    Failed,
    LogEvent,
    ReplicaLapsed,
    Resumed,
    RolledBack,
    RunInterrupted,
    RunPruned,
    SettingsChanged,
    Started,
    StepDone,
    StepsDone,
    UpdatesLost,
    Validated,
    Warned,
)
from lnet.runtime.store.log import replicas_from

from .names import named, without_paths
from .position import Position
from .rows import Row, Rows, figures_of
from .tracker import Tracker

MESSAGES: Mapping[type[LogEvent], Callable[[Any], str]] = {
    Warned: lambda event: event.message,
    SettingsChanged: lambda event: event.text,
    Resumed: lambda event: f"resumed from step {event.step:,}",
    RolledBack: lambda event: event.message,
    RunInterrupted: lambda event: f"stopped at step {event.step:,}",
    RunPruned: lambda event: f"pruned at step {event.step:,}: {event.message}",
    Failed: lambda event: event.message,
    UpdatesLost: lambda event: event.message,
    ReplicaLapsed: lambda event: event.message,
}
"""Events that are sent as text: none that a resume makes void."""
STATES: Mapping[type[LogEvent], str] = {
    Started: "running",
    Resumed: "running",
    Completed: "done",
    RunInterrupted: "stopped",
    RunPruned: "stopped",
    Failed: "failed",
}


class Parameters(Protocol):
    """Sends the parameters of a checkpoint in a file, if it is still there."""

    def send(self, tracker: Tracker, step: int, time: float, file: str) -> None: ...


class Feed:
    """Takes the events of a log, and gives a tracker those that it does not have.

    `tracker` is called when there is a first one; `rate` is the learning rate of a replica's step.
    """

    def __init__(
        self,
        tracker: Callable[[], Tracker],
        position: Position,
        rows: Rows,
        rate: Callable[[int], float],
        parameters: Parameters,
    ) -> None:
        self._tracker, self._position = tracker, position
        self._rows, self._rate, self._parameters = rows, rate, parameters
        self._replicas, self._turns, self._messages, self._step = 1, 0, 0, 0
        self.state, self.began = "running", 0.0

    def take(self, event: LogEvent) -> None:
        """Take the next event."""
        kind = type(event)
        self.began = self.began or event.time
        self._replicas = replicas_from(event, self._replicas)
        self.state = STATES.get(kind, self.state)
        if isinstance(event, Resumed | ClusterBegun):
            self._rows.pause()
        match event:
            case StepDone() | StepsDone():
                self._send(self._rows.add(event, self._replicas))
            case Validated():
                self._validation(event)
            case CheckpointWritten():
                self._checkpoint(event)
            case Resumed() | RolledBack():
                self._turn(event.step)
            case Completed() | RunInterrupted() | Failed():
                self._send(self._rows.rest())
        if kind in MESSAGES:
            self._message(event, MESSAGES[kind](event))

    def _send(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._step = row.step
            if self._is_new(row.step, self._position.step):
                self._tracker().scalars(row.step, row.time, row.values(self._rate(row.step)))
                self._position.step = row.step

    def _validation(self, event: Validated) -> None:
        if self._is_new(event.step, self._position.validation):
            self._tracker().scalars(event.step, event.time, named("validation", figures_of(event)))
            self._position.validation = event.step

    def _checkpoint(self, event: CheckpointWritten) -> None:
        if self._is_new(event.step, self._position.checkpoint):
            self._parameters.send(self._tracker(), event.step, event.time, event.file)
            self._position.checkpoint = event.step

    def _is_new(self, step: int, sent: int) -> bool:
        return self._turns == self._position.turns and step > sent

    def _message(self, event: LogEvent, text: str) -> None:
        self._messages += 1
        if self._messages > self._position.messages:
            self._tracker().message(self._step, event.time, event.name, without_paths(text))
            self._position.messages = self._messages

    def _turn(self, step: int) -> None:
        """A run goes on from a step, of each replica: what follows replaces what was sent of later ones."""
        self._turns += 1
        self._step = step
        position = self._position
        if self._turns <= position.turns:
            return
        if position.last > step:
            self._tracker().turn_back(step)
        position.turns = self._turns
        position.step = min(position.step, self._rows.whole(step))
        position.validation = min(position.validation, step)
        position.checkpoint = min(position.checkpoint, step)
