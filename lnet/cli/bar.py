"""A progress bar for what takes long before or after training: finding many images, analysing a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lnet.runtime.process.counted import watched

SOON = 0.3


@contextmanager
def bar() -> Iterator[None]:
    """Show the progress of the work inside on stderr if that is a terminal; the bar is erased when a loop is done.

    A loop that does not report its beginning appears after `SOON` seconds.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True)
    task = progress.add_task("", total=None)
    shown, began = "", time.monotonic()

    def show(what: str, done: int, total: int) -> None:
        nonlocal task, shown, began
        if what != shown or not done:
            progress.remove_task(task)
            task = progress.add_task(what, total=total or None)
            shown, began = what, time.monotonic()
        progress.update(task, completed=done)
        if 0 < total <= done:
            progress.stop()
            shown = ""
        elif not done or time.monotonic() - began > SOON:
            progress.start()

    try:
        with watched(show):
            yield
    finally:
        progress.stop()
