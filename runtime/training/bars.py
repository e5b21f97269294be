"""Bars of a run's progress, in a terminal and in a notebook; `usual` is what `lnet.train` shows unless told otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from html import escape
from importlib import import_module
from typing import Any

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

from .progress import Reporter, Silent, losses_within

OFTEN = 0.2
"""Seconds between two pictures of a notebook's bar."""
LOSSES = 100
"""Characters of losses below it."""


def usual() -> Reporter:
    """Return a bar in a notebook or a terminal; elsewhere nothing is shown, and logged (`logged.py`)."""
    if _in_notebook():
        return NotebookBar()
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Silent()


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; IPython is not imported to find out."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


class _Progress(Progress):
    """A bar over a line of losses."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            yield Text(losses_within(task.fields["losses"], self.console.width))


class Bar:
    """Draws a progress bar, for terminals: step and speed, and below it as many losses as fit on a line.

    `run`: what it is called, if there are several; `transient`: it is erased in the end.
    """

    def __init__(self, console: Console, run: str = "", transient: bool = False) -> None:
        self._progress = _Progress(
            TextColumn(f"{run} step".lstrip()),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            expand=True,
            transient=transient,
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


class NotebookBar:
    """Draws a bar below a notebook's cell: step, share, speed and time left, and below it losses."""

    def __init__(self) -> None:
        self._display: Any = None
        self._first, self._steps, self._began, self._next = 0, 0, 0.0, 0.0

    def started(self, step: int, steps: int) -> None:
        self._first, self._steps, self._began = step, steps, time.monotonic()
        self._show(step, "", {})

    def stepped(self, step: int, objectives: Mapping[str, float], images_per_second: float) -> None:
        if time.monotonic() >= self._next or step == self._steps:
            left = (time.monotonic() - self._began) / max(1, step - self._first) * (self._steps - step)
            self._show(step, f"{images_per_second:,.0f} images/s, {left:,.0f} s left", objectives)

    def said(self, message: str) -> None:
        print(message)

    def happened(self, event: Event) -> None:
        pass

    def finished(self) -> None:
        pass

    def _show(self, step: int, speed: str, losses: Mapping[str, float]) -> None:
        self._next = time.monotonic() + OFTEN
        share = f"step {step:,} of {self._steps:,} {speed}"
        html = (
            f'<progress value="{step}" max="{self._steps}" style="width: 40%"></progress> {escape(share)}<br>'
            f"<code>{escape(losses_within(losses, LOSSES))}</code>"
        )
        display = import_module("IPython.display")
        if self._display is None:
            self._display = display.display(display.HTML(html), display_id=True)
        else:
            self._display.update(display.HTML(html))
