"""Runs that are watched: one thread finds them and follows their logs, one draws their filters, each reader of the page has
one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lnet.dsl.diagnostics import LnetError
from lnet.runtime.pages.templates import inline, template
from lnet.runtime.store.summary import differences

from .board import Board
from .filters import DrawnFilters
from .followed import FollowedRun
from .server import PageServer

EVERY, REDRAWN, SOUGHT = 0.5, 2.0, 2.0
"""Seconds between two looks at logs, at checkpoints, and for runs that have begun; more where a look takes long."""
PAUSE = 9
"""So many times as long as a look took is waited before the next one, so that training has the machine."""
LOOKING, SENDING = 10.0, 2.0
"""Seconds at most for the last look at runs, and for readers of the page to get the last messages."""


def page() -> str:
    """Return the page, which has nothing of the runs: they come as messages."""
    return template("watch.html", __package__).render(script=inline("watch.js", __package__))


@dataclass(frozen=True)
class _Watched:
    """A run, and its number on the page."""

    number: int
    run: FollowedRun
    filters: DrawnFilters


class Watcher:
    """A page on this machine that shows runs as they grow, while it is entered; port 0 is a free one. Raises OSError.

    `find` returns the runs that there are, and is asked again and again.
    """

    def __init__(self, find: Callable[[], Iterable[Path]], port: int = 0, text: str | None = None) -> None:
        self._find, self._watched = find, dict[Path, _Watched]()
        self._count, self._sought = 0, 0.0
        self._differing: list[str] = []
        self._board, self._over = Board(), threading.Event()
        self._server = PageServer(port, page() if text is None else text, self._board)
        self._followers = [
            threading.Thread(target=self._repeat, args=each, daemon=True)
            for each in ((self._follow, EVERY), (self._draw, REDRAWN))
        ]
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def address(self) -> str:
        """Where the page is."""
        return self._server.address

    def __enter__(self) -> Watcher:
        for thread in (*self._followers, self._serving):
            thread.start()
        return self

    def finish(self) -> None:
        """Look at the runs for the last time, so that the page shows how they ended."""
        self._over.set()
        for thread in self._followers:
            thread.join(LOOKING)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._board.close(SENDING)
        self._server.shutdown()
        self._server.server_close()
        # A thread that the interpreter ends while it loads jax ends the process by SIGABRT.
        for thread in self._followers:
            thread.join(LOOKING)

    def _repeat(self, look: Callable[[], None], seconds: float) -> None:
        """Look again and again, for the last time when the watch is over."""
        over = False
        while not over:
            over, began = self._over.is_set(), time.monotonic()
            look()
            self._over.wait(max(seconds, PAUSE * (time.monotonic() - began)))

    def _seek(self) -> None:
        """Watch runs that have begun, and no longer what has not, but has become a folder of runs."""
        began = time.monotonic()
        if began < self._sought:
            return
        try:
            found = list(self._find())
        except LnetError:  # what cannot be read now is looked for again
            found = list(self._watched)
        for path in found:
            if path not in self._watched:
                self._watched[path] = _Watched(self._count, FollowedRun(path), DrawnFilters(path))
                self._count += 1
        for path in self._watched.keys() - set(found):
            if not self._watched[path].run.begun:
                self._board.put("gone", self._watched.pop(path).number, {})
        self._sought = time.monotonic() + max(SOUGHT, PAUSE * (time.monotonic() - began))

    def _follow(self) -> None:
        self._seek()
        watched = list(self._watched.values())
        news = [each.run.poll() for each in watched]
        if not any(news):
            return
        before = self._differing
        self._differing = differences([each.run.summary for each in watched if each.run.summary is not None])
        for new, each in zip(news, watched, strict=True):
            if new or self._differing != before:
                self._board.put("run", each.number, each.run.data(self._differing))

    def _draw(self) -> None:
        for each in list(self._watched.values()):
            drawn = each.filters.redrawn()
            if drawn is not None:
                self._board.put("filters", each.number, drawn)
