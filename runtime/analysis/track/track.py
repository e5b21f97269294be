"""A run that is sent to a service: what is new of it, once or again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lnet.dsl.diagnostics import LnetError, did_you_mean, refused, those_there_are
from lnet.runtime.store.follow import Follower
from lnet.runtime.store.run import Run, open_run, opened
from lnet.runtime.store.summary import state_of

from .feed import Feed
from .parameters import CheckpointParameters
from .position import Record, alone, record_of
from .rates import rates_of
from .rows import Rows
from .services import SERVICES
from .settings import settings_of
from .tracker import Gone, Service, Subject, Target, Tracker, name_of

SAVED = 5.0
"""Seconds after which, and so often, a service is asked for all that it was sent, and the position is written."""
SILENT = 10.0
"""Seconds without an event after which it is asked whether a process still trains a run."""


def service_of(name: str) -> Service:
    """Return a service by name; raises `LnetError` if there is none, or its package is not installed."""
    if name not in SERVICES:
        listed = those_there_are("services", SERVICES)
        raise refused("E794", f"there is no service '{name}'", listed, hint=did_you_mean(name, SERVICES))
    SERVICES[name].check()
    return SERVICES[name]


@dataclass(frozen=True, slots=True)
class Sending:
    """How a run is sent: where to, over how many steps means are taken; `again`: as another run than the service has."""

    target: Target = field(default_factory=Target)
    every: int = 1
    again: bool = False

    def __post_init__(self) -> None:
        if self.every < 1 or self.every != int(self.every):
            raise refused("E746", f"means are taken over a positive number of steps, found {self.every}")


@contextmanager
def tracking(directory: Path, service: Service, how: Sending) -> Iterator[Tracking]:
    """Send a run in a directory to a service, as the only process that does; raises `LnetError`."""
    run = open_run(directory)
    if run.imported:
        raise refused("E740", f"'{directory}' was made from a file of weights: it has no log to send")
    place = _guarded(service.place, service.failed(directory))(directory, run.plan.graph.name, how.target)
    with alone(directory, service.name, place):
        found = Tracking(run, service, how, record_of(directory, service.name, place, how.again))
        try:
            yield found
        finally:
            found.log.close()


class Tracking:
    """A run on its way to a service."""

    def __init__(self, run: Run, service: Service, how: Sending, record: Record) -> None:
        self.service, self.record = service, record
        self.log = Follower(run.directory / "events.jsonl")
        self._directory, self._how = run.directory, how
        self._tracker: Tracker | None = None
        self._saved, self._heard = time.monotonic(), time.monotonic()
        self._load(run)

    @property
    def place(self) -> str:
        """Where a person finds what was sent; nothing where nothing was."""
        return "" if self._tracker is None else self._tracker.place

    def send(self) -> None:
        """Send what is new; raises `LnetError`."""
        try:
            self._send()
        except Gone:
            self.record = Record(self.record.path, self.service.name, self.record.place)
            self.log.close()
            self._send()

    def close(self) -> None:
        """End it in the service, if anything was sent; raises `LnetError`."""
        if self._tracker is not None:
            self._tracker.close(self._feed.state)
            self.record.position.state, self.record.state = self._feed.state, self._tracker.state
            self.record.save()

    @property
    def is_over(self) -> bool:
        """Whether no process trains the run any more."""
        if self._feed.state != "running":
            return True
        return time.monotonic() - self._heard > SILENT and state_of(self._directory, "") != "running"

    def _load(self, run: Run) -> None:
        """Take settings as they are now, and expect the log from its first event on."""
        self._run, self._settings = run, settings_of(run)
        rows, parameters = Rows(self._how.every), CheckpointParameters(run)
        self._feed = Feed(self._opened, self.record.position, rows, rates_of(run), parameters)
        if self._tracker is not None:
            self._tracker.settings(self._settings)

    def _send(self) -> None:
        void, events = self.log.read()
        if void:
            self._load(open_run(self._directory))
        for event in events:
            self._heard = time.monotonic()
            self._feed.take(event)
            if self._tracker is not None and self._heard - self._saved > SAVED:
                self._save()
        if self._feed.state != self.record.position.state:
            self._opened()
        if self._tracker is not None:
            self._save()

    def _save(self) -> None:
        assert self._tracker is not None
        if self._tracker.flush():
            self.record.state = self._tracker.state
            self.record.save()
        self._saved = time.monotonic()

    def _opened(self) -> Tracker:
        """Return the run in the service, which is told of it when there is something to send."""
        if self._tracker is None:
            target = self._how.target
            self.record.name = target.name or self.record.name or name_of(self._directory)
            subject = Subject(
                directory=self._directory,
                network=self._run.plan.graph.name,
                name=self.record.name,
                id=self.record.id,
                target=target,
                began=self._feed.began,
                step=self.record.position.last,
                state=self.record.state,
            )
            failed = self.service.failed(self._directory)
            begun = _guarded(self.service.begin, failed)(subject)
            self._tracker = cast(Tracker, _Guarded(begun, failed))
            self.record.state = self._tracker.state
            self.record.save()
            self._tracker.settings(self._settings)
        return self._tracker


class _Guarded:
    """A tracker that raises `LnetError` for whatever goes wrong in it."""

    def __init__(self, tracker: Tracker, failed: Callable[[Exception], LnetError]) -> None:
        self._tracker, self._failed = tracker, failed

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._tracker, name)
        return _guarded(found, self._failed) if callable(found) else found


def _guarded(function: Callable[..., Any], failed: Callable[[Exception], LnetError]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (LnetError, Gone):
            raise
        except Exception as error:
            raise failed(error) from error

    return call


def track(
    run: Run | str | os.PathLike[str],
    to: str,
    project: str | None = None,
    name: str | None = None,
    directory: str | os.PathLike[str] | None = None,
    every: int = 1,
    again: bool = False,
) -> str:
    """Send a run to a service, `tensorboard`, `wandb`, `mlflow` or `trackio`; return where it is, "" if nothing was new.

    What the service has of it already is not sent again. `project`: by default that of the service's environment, or the
    network's name; `name`: by default that of the run's directory, in a sweep `SWEEP/trial-0011/seed-0`; `directory`: of
    TensorBoard's files (default `RUN/tensorboard`). `every`: over how many steps means are sent; `again`: send the run anew,
    as another one. Raises `LnetError` for what is no run, a package that is missing and a service that fails.
    """
    target = Target(project, None if directory is None else Path(directory), name)
    with tracking(opened(run).directory, service_of(to), Sending(target, every, again)) as found:
        found.send()
        found.close()
    return found.place
