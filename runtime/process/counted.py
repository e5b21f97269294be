"""Progress of long loops, reported to a watcher: a bar in a terminal, none by default.

with watched(bar):                          lnetc
    for batch in counted("images", batches, 20):       each loop that takes long
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Watcher = Callable[[str, int, int], None]
"""Called with the name of the items, the number done, and the total."""
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Report the progress of loops inside to a watcher."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def counted(what: str, items: Iterable[T], total: int) -> Iterator[T]:
    """Yield `items`, `total` in number, and report each finished one to the watcher."""
    watcher = _watcher.get()
    if watcher is None:
        yield from items
        return
    watcher(what, 0, total)
    for number, item in enumerate(items, 1):
        yield item
        watcher(what, number, total)


def reported(what: str, done: int, total: int) -> None:
    """Report the progress of a loop that counts by itself."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(what, done, total)
