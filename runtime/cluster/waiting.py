"""Waits for a cluster, first for a scheduler, then for its workers, and resumes a run whose cluster is back."""

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

from .protocol.spec import Times
from .transport.connect import client_at, workers_of
from .transport.connection import ClusterLost, hush

POLL_INTERVAL = 1.0
"""Seconds between two checks."""
CONNECT_TIMEOUT = 10.0
"""Seconds in which a scheduler that accepts connections must answer: a stopped one accepts them, too."""
SETTLE_TIME = 10.0
"""Seconds without another worker, after which fewer than the plan's are enough."""


@dataclass(frozen=True)
class Waiting:
    """A scheduler, at an address or in a file, and a number of workers to wait for, for `seconds` at most."""

    where: str
    seconds: float
    workers: int
    console: Console


@dataclass(frozen=True)
class ClusterLoss:
    """How a cluster was lost: when, why, and which scheduler that was."""

    at: float
    error: ClusterLost
    scheduler: str


def persistently(waiting: Waiting, begin: Callable[[Client], Run], go_on: Callable[[Client], Run]) -> Run:
    """Train when there is a cluster, resume each time that it was lost, and return the run.

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
                loss = ClusterLoss(time.monotonic(), error, scheduler)
                _say(waiting.console, f"{_line(error)}; waiting for it")
            finally:
                _close(client)
            attempt = go_on


def _line(error: LnetError) -> str:
    first = error.diagnostics[0]
    return ": ".join((first.message, *first.notes[:1]))


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _awaited(waiting: Waiting, loss: ClusterLoss | None) -> Client:
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
        client.close(timeout=CONNECT_TIMEOUT)


def _answering(where: str) -> Client | None:
    """Return a client, if there is a scheduler."""
    with suppress(OSError, ValueError, KeyError, LnetError):
        address = urlsplit(where if "://" in where else json.loads(Path(where).read_text())["address"])
        if address.scheme in ("tcp", "tls"):  # others cannot be asked so cheaply
            socket.create_connection((address.hostname, address.port or 8786), CONNECT_TIMEOUT).close()
        return client_at(where, CONNECT_TIMEOUT)
    return None


def _gather(waiting: Waiting, clock: _Clock, client: Client, loss: ClusterLoss | None) -> None:
    """Wait until the cluster's workers have come, and all leases of an earlier scheduler have expired.

    The same scheduler as before says itself what has become of the run's coordinator (predecessor.py).
    """
    settled = time.monotonic() + SETTLE_TIME
    same = loss is not None and loss.scheduler == client.scheduler_info(n_workers=0)["id"]
    times = Times.for_workers(waiting.workers)
    granted = 0.0 if loss is None or same else loss.at + times.lease + times.failure_timeout
    count = -1
    while True:
        found = len(workers_of(client))
        if found != count:
            count, settled = found, time.monotonic() + SETTLE_TIME
        enough = found >= waiting.workers or (found > 0 and time.monotonic() > settled)
        if enough and time.monotonic() > granted:
            return
        clock.tick(f"workers ({found:,} of {waiting.workers:,} there)")


class _Clock:
    """Shows the time waited: in a live line on a terminal, after 1, 2, 4, ... minutes elsewhere."""

    def __init__(self, waiting: Waiting, loss: ClusterLoss | None) -> None:
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
        time.sleep(min(POLL_INTERVAL, self.waiting.seconds))

    def _given_up(self, what: str) -> LnetError:
        waited = f"waited {self.waiting.seconds / 60:g} minutes for {what} at '{self.waiting.where}'"
        if self.loss is None:
            return refused(
                "E760", "no cluster answers", waited, hint="start one: dask scheduler, dask worker"
            )
        first = self.loss.error.diagnostics[0]
        return refused("E763", "the cluster was lost, and did not come back", waited, hint=first.hints)
