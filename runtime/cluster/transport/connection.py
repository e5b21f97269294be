"""A client's connection to the scheduler that its run was begun on: when it ends, so does the run."""

from __future__ import annotations

import logging
import shlex
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client
from distributed.protocol.pickle import dumps

from lnet.dsl.diagnostics import ClusterError, LnetError, refused
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.names import CONTROL
from lnet.runtime.store.run import Run

from .witness import Witness

QUIET = 2.0
"""Seconds without an event, after which the scheduler is asked whether it still knows the run."""
CONTROL_TIMEOUT = 30.0
"""Seconds in which it must answer."""


def go_on(run: Run) -> str:
    """Return the hint for continuing a run that ended early."""
    command = f"lnetc resume {shlex.quote(str(run.directory))} --cluster ..."
    try:
        steps = run.checkpoints.files()
    except LnetError:  # what ended the run is what is to be said
        return f"go on: {command}"
    if not steps:
        return f"begin again, for no checkpoint was written: {command}"
    return f"go on from the checkpoint at step {max(steps):,}: {command}"


class ClusterLost(ClusterError):
    """A cluster that a run was on, or was to begin on, and that may come back."""


def lost(code: str, message: str, *notes: str, hint: str) -> ClusterLost:
    """Return the error for a cluster that may come back."""
    return ClusterLost(refused(code, message, *notes, hint=hint).diagnostics)


@contextmanager
def reached(run: Run) -> Iterator[None]:
    """Turn what Dask raises for a scheduler that is gone into `ClusterLost`."""
    try:
        yield
    except OSError as error:
        why = str(error) or "its scheduler does not answer"
        raise lost("E763", "the cluster was lost", why, hint=go_on(run)) from error


class _Told(logging.Filter):
    """Drops what Dask's client logs of a scheduler that is gone: `ClusterLost` says it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (
            isinstance(error, OSError | CancelledError) or str(record.msg).startswith("Failed to reconnect")
        )


_TOLD = _Told()


def hush() -> None:
    """Silence Dask's client about a lost scheduler: `ClusterLost` says it."""
    for name in ("client", "batched"):
        logging.getLogger(f"distributed.{name}").addFilter(_TOLD)


class Connection:
    """Ends with its stream: Dask's client reconnects by itself, but loses the events in between and its subscriptions."""

    def __init__(self, client: Client, run: Run, config: RunConfig) -> None:
        self.client, self.run, self.config = client, run, config
        self.stream, self.heard, self.lost = client.scheduler_comm, time.monotonic(), False

    def hear(self) -> None:
        """Note that something came from the scheduler."""
        self.heard = time.monotonic()

    @property
    def broken(self) -> bool:
        return self.client.status != "running" or self.client.scheduler_comm is not self.stream

    def check(self) -> None:
        """Raise `LnetError` if the scheduler is gone, or does not know the run any more."""
        if self.broken:
            raise self._lost("the connection to its scheduler ended")
        if time.monotonic() - self.heard < QUIET:
            return
        if not self.control("known"):
            raise self._lost("its scheduler does not know the run any more")
        self.hear()

    def control(self, what: str, timeout: float | None = None) -> bool:
        """Ask something of the coordinator; raises `LnetError` if it cannot be reached."""
        seconds = CONTROL_TIMEOUT if timeout is None else timeout
        call = getattr(self.client.scheduler, CONTROL)
        try:
            return bool(self.client.sync(call, run=self.config.run, what=what, callback_timeout=seconds))
        except Exception as error:  # whatever Dask raises for a scheduler that is gone or another
            raise self._lost(str(error) or "its scheduler does not answer") from error

    def _lost(self, why: str) -> ClusterLost:
        self.lost = True
        return lost("E763", "the cluster was lost", why, hint=go_on(self.run))

    def abandon(self) -> None:
        """Let the coordinator save what it has and leave, even if its scheduler wakes up only later."""
        if not self.broken:
            with suppress(LnetError):
                self.control("abandon", CONTROL_TIMEOUT / 6)

    def leave(self) -> None:
        """Take the coordinator off its scheduler at once, which may end right after."""
        if not self.broken:
            with suppress(LnetError):
                self.control("leave", CONTROL_TIMEOUT / 3)

    def watch(self, witness: Witness, told: Callable[[str], None]) -> None:
        """Have nannies tell why workers end. The run needs none that cannot, or that stands still: it is said."""
        scheduler: Any = self.client.scheduler
        plugin = {"plugin": dumps(witness), "name": witness.name, "idempotent": False}
        try:
            self.client.sync(scheduler.register_nanny_plugin, **plugin, callback_timeout=CONTROL_TIMEOUT)
        except Exception as error:  # whatever a nanny answers
            told(f"why workers end will not be told by all nannies: {error or type(error).__name__}")

    def release(self, how: str, name: str) -> None:
        """Take a plugin off the cluster, if it is still there; a worker that stands still is not waited for long."""
        if not self.broken:
            with suppress(OSError, TimeoutError, RuntimeError, ValueError):
                self.client.sync(
                    getattr(self.client.scheduler, how), name=name, callback_timeout=CONTROL_TIMEOUT / 3
                )
