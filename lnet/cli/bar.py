"""A progress bar for commands that analyse a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lnet.runtime.process.counted import watched


@contextmanager
def bar() -> Iterator[None]:
    """Show the progress of the work inside on stderr if that is a terminal; the bar is erased at the end."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        shown = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal shown
            if what != shown or not done:
                progress.reset(task, description=what, total=total)
                shown = what
            progress.update(task, completed=done, total=total)

        with watched(show):
            yield
