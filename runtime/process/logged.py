"""What the command prints of a run on a cluster, for programs: through `logging`, logger `lnet`.

INFO      all that the command would say, progress included
WARNING   a worker that is lost or ended, what is computed again or gone, what could not be written
ERROR     why a run failed

Python prints warnings and errors where a program has set up no logging, so that a run in trouble is not silent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from .progress import Reporter, progress

LOGGER = logging.getLogger("lnet")
WARNINGS = ("worker lost", "ended", "warning", "lost", "rollback", "lapsed", "left out")
EVERY = 5.0
"""Seconds between two lines of progress."""


class Logged:
    """Logs what a reporter is told, and tells it."""

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

    def happened(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "failed":
            LOGGER.error("%s", event["message"])
        elif event["event"] in WARNINGS:
            self._warned = _text(event)
            LOGGER.warning("%s", self._warned)
        self._reporter.happened(event)

    def finished(self) -> None:
        self._reporter.finished()


def _text(event: Mapping[str, Any]) -> str:
    match event["event"]:
        case "worker lost":
            return f"{event['worker']} is lost"
        case "left out":
            return f"{event['worker']} is left out: {event.get('message') or 'it has other versions'}"
        case _:
            return str(event["message"])
