"""A client's connection to the scheduler that its run was begun on: when it ends, so does the run."""

from __future__ import annotations

import time
from contextlib import suppress

from distributed import Client

from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.run import Run

from .brief import Brief
from .names import CONTROL

QUIET = 2.0
"""Seconds without an event, after which the scheduler is asked whether it still knows the run."""
PATIENCE = 30.0
"""Seconds in which it must answer."""


def go_on(run: Run) -> str:
    """Return what to do about a run that ended before its time."""
    return f"go on from the newest checkpoint: lnetc resume {run.directory} --cluster ..."


class Connection:
    """Dask's client connects anew by itself, but what was published in between, and to whom, is lost."""

    def __init__(self, client: Client, run: Run, brief: Brief) -> None:
        self.client, self.run, self.brief = client, run, brief
        self.stream, self.heard = client.scheduler_comm, time.monotonic()

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

    def control(self, what: str) -> bool:
        """Ask something of the coordinator; raises `LnetError` if it cannot be reached."""
        call = getattr(self.client.scheduler, CONTROL)
        try:
            return bool(self.client.sync(call, run=self.brief.run, what=what, callback_timeout=PATIENCE))
        except Exception as error:  # whatever Dask raises for a scheduler that is gone or another
            raise self._lost(str(error) or "its scheduler does not answer") from error

    def _lost(self, why: str) -> LnetError:
        return refused("E763", "the cluster was lost", why, hint=go_on(self.run))

    def release(self, how: str, name: str) -> None:
        """Take a plugin off the cluster, if it is still there; a worker that stands still is not waited for long."""
        if not self.broken:
            with suppress(OSError, TimeoutError, RuntimeError, ValueError):
                self.client.sync(
                    getattr(self.client.scheduler, how), name=name, callback_timeout=PATIENCE / 3
                )
