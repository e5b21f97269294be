"""To wait for a cluster, and to go on on it whenever it was lost and is back: for a scheduler, then for its workers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from distributed import Client
from distributed.utils import silence_logging_cmgr
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.store.run import Run

from .launch import TIMES
from .transport.connect import client_at, workers_of
from .transport.connection import ClusterLost, hush

ASKED = 1.0
"""Seconds between two looks at what is waited for."""
TRIED = 10.0
"""Seconds in which a scheduler must answer that takes connections; one that stands still takes them."""
SETTLED = 10.0
"""Seconds without another worker, after which fewer than the plan's are enough."""


@dataclass(frozen=True)
class Waiting:
    """For what is waited: a scheduler at an address or in a file, for some seconds at most, and for how many workers."""

    where: str
    seconds: float
    workers: int
    console: Console


@dataclass(frozen=True)
class Loss:
    """How a cluster was lost: when, why, and which scheduler that was."""

    at: float
    error: ClusterLost
    scheduler: str


def persistently(waiting: Waiting, begin: Callable[[Client], Run], go_on: Callable[[Client], Run]) -> Run:
    """Begin to train when there is a cluster, and go on as often as it was lost; return the run.

    Raises `LnetError` when there was none for too long, and for all that does not end by itself.
    """
    attempt, loss = begin, None
    with silence_logging_cmgr("CRITICAL"):
        hush()
        while True:
            client = _awaited(waiting, loss)
            scheduler = client.scheduler_info(n_workers=0)["id"]
            try:
                return attempt(client)
            except ClusterLost as error:
                loss = Loss(time.monotonic(), error, scheduler)
                _say(waiting.console, f"{_line(error)}; waiting for it")
            finally:
                _close(client)
            attempt = go_on


def _line(error: LnetError) -> str:
    first = error.diagnostics[0]
    return ": ".join((first.message, *first.notes[:1]))


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _awaited(waiting: Waiting, loss: Loss | None) -> Client:
    """Return a client of a cluster that is ready for a run; raises `LnetError` when that takes too long."""
    with _Clock(waiting, loss) as clock:
        while True:
            clock.tick("a scheduler")
            client = _answering(waiting.where)
            if client is None:
                continue
            with suppress(ClusterLost):  # it is gone again
                _gather(waiting, clock, client, loss)
                return client
            _close(client)


def _close(client: Client) -> None:
    with suppress(OSError):  # a scheduler that stands still says no farewell
        client.close(timeout=TRIED)


def _answering(where: str) -> Client | None:
    """Return a client, if there is a scheduler."""
    with suppress(OSError, ValueError, KeyError, LnetError):
        address = urlsplit(where if "://" in where else json.loads(Path(where).read_text())["address"])
        if address.scheme in ("tcp", "tls"):  # others cannot be asked so cheaply
            socket.create_connection((address.hostname, address.port or 8786), TRIED).close()
        return client_at(where, TRIED)
    return None


def _gather(waiting: Waiting, clock: _Clock, client: Client, loss: Loss | None) -> None:
    """Wait until the cluster's workers have come, and until nothing that an earlier scheduler granted holds any more.

    The same scheduler as before says itself what has become of the run's coordinator (predecessor.py).
    """
    settled = time.monotonic() + SETTLED
    same = loss is not None and loss.scheduler == client.scheduler_info(n_workers=0)["id"]
    granted = 0.0 if loss is None or same else loss.at + TIMES.lease + TIMES.silence
    count = -1
    while True:
        found = len(workers_of(client))
        if found != count:
            count, settled = found, time.monotonic() + SETTLED
        enough = found >= waiting.workers or (found > 0 and time.monotonic() > settled)
        if enough and time.monotonic() > granted:
            return
        clock.tick(f"workers ({found:,} of {waiting.workers:,} there)")


class _Clock:
    """Shows for how long has been waited: in a line that changes on a terminal, after 1, 2, 4, ... minutes elsewhere."""

    def __init__(self, waiting: Waiting, loss: Loss | None) -> None:
        self.waiting, self.loss, self.began, self.due = waiting, loss, time.monotonic(), 0.0
        self.status = Status("", console=waiting.console)

    def __enter__(self) -> _Clock:
        return self

    def __exit__(self, *error: object) -> None:
        self.status.stop()

    def tick(self, what: str) -> None:
        """Let a moment pass; raises `LnetError` once it has been long enough."""
        waited = time.monotonic() - self.began
        if waited > self.waiting.seconds:
            raise self._given_up(what)
        text = f"waiting for {what} at '{self.waiting.where}': {timedelta(seconds=int(waited))}"
        if self.waiting.console.is_terminal:
            self.status.update(escape(text))
            self.status.start()
        elif waited >= self.due:
            _say(self.waiting.console, text)
            self.due = max(60.0, 2 * self.due)
        time.sleep(min(ASKED, self.waiting.seconds))

    def _given_up(self, what: str) -> LnetError:
        waited = f"waited {self.waiting.seconds / 60:g} minutes for {what} at '{self.waiting.where}'"
        if self.loss is None:
            return refused(
                "E760", "no cluster answers", waited, hint="start one: dask scheduler, dask worker"
            )
        first = self.loss.error.diagnostics[0]
        return refused("E763", "the cluster was lost, and did not come back", waited, hint=first.hints)
