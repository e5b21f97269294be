"""The command's messages about a run on a cluster, for programs: through `logging`, logger `lnet`.

INFO      all that the command would say, progress included
WARNING   a worker that is lost or ended, what is computed again or gone, what could not be written
ERROR     why a run failed

Python prints warnings and errors where a program has set up no logging, so that a run in trouble is not silent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from lnet.runtime.store.events import (
    Event,
    Failed,
    LeftOut,
    ProcessEnded,
    ReplicaLapsed,
    RolledBack,
    UpdatesLost,
    Warned,
    WorkerLost,
    WorkerSlow,
)

from .progress import Reporter, progress

LOGGER = logging.getLogger("lnet")
WARNINGS = (WorkerLost, ProcessEnded, Warned, UpdatesLost, RolledBack, ReplicaLapsed, LeftOut, WorkerSlow)
EVERY = 5.0
"""Seconds between two lines of progress."""


class Logged:
    """A reporter that logs every call and passes it on to another one."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter, self._steps, self._next, self._warned = reporter, 0, 0.0, ""

    def started(self, step: int, steps: int) -> None:
        self._steps = steps
        LOGGER.info("training from step %s to %s", f"{step:,}", f"{steps:,}")
        self._reporter.started(step, steps)

    def stepped(self, step: int, objectives: Mapping[str, float], images_per_second: float) -> None:
        if time.monotonic() >= self._next or step == self._steps:
            self._next = time.monotonic() + EVERY
            LOGGER.info("%s", progress(step, self._steps, images_per_second, objectives))
        self._reporter.stepped(step, objectives, images_per_second)

    def said(self, message: str) -> None:
        if message != self._warned:
            LOGGER.info("%s", message)
        self._reporter.said(message)

    def happened(self, event: Event) -> None:
        if isinstance(event, Failed):
            LOGGER.error("%s", event.message)
        elif isinstance(event, WARNINGS):
            self._warned = _text(event)
            LOGGER.warning("%s", self._warned)
        self._reporter.happened(event)

    def finished(self) -> None:
        self._reporter.finished()


def _text(event: Event) -> str:
    match event:
        case WorkerLost(worker=worker):
            return f"{worker} is lost"
        case LeftOut(worker=worker, message=message):
            return f"{worker} is left out: {message or 'it has other versions'}"
    return event.text or event.name
