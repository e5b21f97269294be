"""A thread for each role, which runs its numerics one at a time, in order.

Threads that trace or compile hold the interpreter in turn: dozens of them would leave the event loop so little of it that
others take this process for one that cannot be reached. So a few roles compute at a time, and the others wait.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.transport.inbox import Cancelled
from lnet.runtime.process.precision import computing_in

SWITCH = 0.001
"""Seconds after which a thread that computes lets the event loop go on: Python's own are five, lost at each system call."""
TURNS = threading.BoundedSemaphore(max(4, os.cpu_count() or 1))
"""One for each role of this process that may compute now, of whichever worker or run."""
Outcome = tuple[Any, ...] | None
"""An event's class and what it says after `now`; None: nothing is to be told."""


@contextmanager
def waiting() -> Iterator[None]:
    """Let another role compute while this one waits for others."""
    TURNS.release()
    try:
        yield
    finally:
        TURNS.acquire()


class Threads:
    """`tell` takes an event, `failed` an exception; both are called from these threads, which compute in a type.

    They ask for it when they first compute: a process that lacks plug-ins of the run has no plan to read it from.
    """

    def __init__(
        self,
        dtype: Callable[[], str],
        tell: Callable[..., None],
        failed: Callable[[Exception], None],
    ) -> None:
        sys.setswitchinterval(min(SWITCH, sys.getswitchinterval()))
        self.dtype, self.tell, self.failed = dtype, tell, failed
        self.pools: dict[RoleId, ThreadPoolExecutor] = {}

    def submit(self, role: RoleId, work: Callable[[], Outcome]) -> None:
        """Run a role's work, and report its result."""
        if role not in self.pools:
            name = f"lnet-{role.kind}-{role.slot}-{role.index}"
            self.pools[role] = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self.pools[role].submit(self._run, work)

    def _run(self, work: Callable[[], Outcome]) -> None:
        try:
            with TURNS, computing_in(self.dtype()):
                told = work()
        except (Cancelled, CancelledError):
            return
        except Exception as error:  # what numerics, images or the disk did not foresee ends the run
            self.failed(error)
            return
        if told is not None:
            self.tell(*told)

    def end(self, role: RoleId) -> None:
        """Forget a role and discard the result of its work."""
        pool = self.pools.pop(role, None)
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def end_all(self) -> None:
        for role in list(self.pools):
            self.end(role)
