"""The newest messages to all readers of the page: of each kind one for each run, so a slow reader skips older ones."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Board:
    """Messages as JSON, each the newest of its kind about a run, by its number."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: dict[tuple[str, int], tuple[int, str]] = {}
        self._number, self._readers, self._closed = 0, 0, False

    def put(self, kind: str, run: int, data: Any) -> None:
        """Put data about a run in the place of those of the same kind."""
        text = json.dumps({"kind": kind, "run": run, **data}, allow_nan=False)
        with self._changed:
            self._number += 1
            self._messages[kind, run] = self._number, text
            self._changed.notify_all()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count a reader, for whom `close` waits."""
        with self._changed:
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    def newer(self, seen: int, seconds: float) -> tuple[int, list[str]] | None:
        """Return the number of the last message and those put after number `seen`, after so many seconds at most.

        None if the board is closed and there are no more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._number > seen or self._closed, seconds)
            if self._closed and self._number == seen:
                return None
            found = sorted(message for message in self._messages.values() if message[0] > seen)
            return self._number, [text for _, text in found]

    def close(self, seconds: float) -> None:
        """Let readers end when they have all messages, and wait for them for so many seconds at most."""
        until = time.monotonic() + seconds
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._readers, max(0.0, until - time.monotonic()))
