"""A bar in a terminal for commands that look at a run: what they are at, and how far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lnet.runtime.process.counted import watched


@contextmanager
def bar() -> Iterator[None]:
    """Show how far the work inside is on the terminal of errors, if that is one; nothing of it stays."""
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
