"""Runs that are watched: one thread follows their logs, one draws their filters, each reader of the page has one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from lnet.runtime.pages.templates import inline, template
from lnet.runtime.store.summary import differences

from .board import Board
from .filters import DrawnFilters
from .followed import FollowedRun
from .server import PageServer

EVERY, REDRAWN = 0.5, 2.0
"""Seconds between two looks at logs, and at checkpoints; more where a look takes long."""
PAUSE = 9
"""So many times as long as a look took is waited before the next one, so that training has the machine."""
LOOKING, SENDING = 10.0, 2.0
"""Seconds for the last look at runs, and for readers of the page to get the last messages."""


def page() -> str:
    """Return the page, which has nothing of the runs: they come as messages."""
    return template("watch.html", __package__).render(script=inline("watch.js", __package__))


class Watcher:
    """A page on this machine that shows runs as they grow, while it is entered; port 0 is a free one. Raises OSError."""

    def __init__(self, paths: Sequence[Path], port: int = 0, text: str | None = None) -> None:
        self._runs = [FollowedRun(path) for path in paths]
        self._filters = [DrawnFilters(path) for path in paths]
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

    def _repeat(self, look: Callable[[], None], seconds: float) -> None:
        """Look again and again, for the last time when the watch is over."""
        over = False
        while not over:
            over, began = self._over.is_set(), time.monotonic()
            look()
            self._over.wait(max(seconds, PAUSE * (time.monotonic() - began)))

    def _follow(self) -> None:
        news = [run.poll() for run in self._runs]
        if not any(news):
            return
        before = self._differing
        self._differing = differences([run.summary for run in self._runs if run.summary is not None])
        for number, run in enumerate(self._runs):
            if news[number] or self._differing != before:
                self._board.put("run", number, run.data(self._differing))

    def _draw(self) -> None:
        for number, filters in enumerate(self._filters):
            drawn = filters.redrawn()
            if drawn is not None:
                self._board.put("filters", number, drawn)
