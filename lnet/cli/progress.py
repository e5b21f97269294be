"""Reporters for terminals and logs: lines, a bar, or a table of the cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console

from lnet.runtime.store.events import Event
from lnet.runtime.training.bars import Bar
from lnet.runtime.training.progress import Reporter, progress

from .cluster_table import LiveTable


class Lines:
    """Prints a line every few seconds: for logs."""

    def __init__(self, console: Console, every: float = 5.0) -> None:
        self._console, self._every = console, every
        self._steps, self._next, self._last = 0, 0.0, ""

    def started(self, step: int, steps: int) -> None:
        self._steps = steps
        self._console.print(f"training from step {step:,} to {steps:,}", highlight=False)

    def stepped(self, step: int, objectives: Mapping[str, float], images_per_second: float) -> None:
        self._last = progress(step, self._steps, images_per_second, objectives)
        if time.monotonic() >= self._next or step == self._steps:
            self._next = time.monotonic() + self._every
            self._console.print(self._last, highlight=False, soft_wrap=True)

    def said(self, message: str) -> None:
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def happened(self, event: Event) -> None:
        pass

    def finished(self) -> None:
        pass


def reporter_for(console: Console, cluster: bool = False) -> Reporter:
    """Return a bar for a terminal, a live table if the run is on a cluster, lines for anything else."""
    if not console.is_terminal:
        return Lines(console)
    return LiveTable(console) if cluster else Bar(console)
