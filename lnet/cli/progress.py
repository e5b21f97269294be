"""Reporters for terminals and logs: lines, a bar, or a table of the cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from lnet.runtime.store.events import Event
from lnet.runtime.training.progress import Reporter, losses_within, progress

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


class _Progress(Progress):
    """A bar over a line of losses."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            yield Text(losses_within(task.fields["losses"], self.console.width))


class Bar:
    """Draws a progress bar, for terminals: step and speed, and below it as many losses as fit on a line."""

    def __init__(self, console: Console) -> None:
        self._progress = _Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            expand=True,
        )
        self._task = self._progress.add_task("", rate="", losses={}, total=None)

    def started(self, step: int, steps: int) -> None:
        self._progress.update(self._task, completed=step, total=steps)
        self._progress.start()

    def stepped(self, step: int, objectives: Mapping[str, float], images_per_second: float) -> None:
        rate = f"{images_per_second:,.0f} images/s"
        self._progress.update(self._task, completed=step, rate=rate, losses=objectives)

    def said(self, message: str) -> None:
        self._progress.console.print(message, highlight=False, markup=False)

    def happened(self, event: Event) -> None:
        pass

    def finished(self) -> None:
        self._progress.stop()


def reporter_for(console: Console, cluster: bool = False) -> Reporter:
    """Return a bar for a terminal, a live table if the run is on a cluster, lines for anything else."""
    if not console.is_terminal:
        return Lines(console)
    return LiveTable(console) if cluster else Bar(console)
