"""How far long work is, told to whoever watches: a bar in a terminal, nobody by default.

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
"""Is told what is counted, how many are done, and of how many."""
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell a watcher how far the work inside is."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def counted(what: str, items: Iterable[T], total: int) -> Iterator[T]:
    """Yield items, of which there are `total`, and tell the watcher of each one that is done with."""
    watcher = _watcher.get()
    if watcher is None:
        yield from items
        return
    watcher(what, 0, total)
    for number, item in enumerate(items, 1):
        yield item
        watcher(what, number, total)
