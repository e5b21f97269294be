"""A thread for each role: what a role's numerics do happens there, one thing at a time, in the order asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

from lnet.runtime.cluster.protocol.events import Owner
from lnet.runtime.cluster.transport.inbox import Cancelled

Told = tuple[Any, ...] | None
"""An event's class and what it says after `now`; None: nothing is to be told."""


class Threads:
    """`tell` takes an event, `failed` an exception; both are called from these threads."""

    def __init__(self, tell: Callable[..., None], failed: Callable[[Exception], None]) -> None:
        self.tell, self.failed = tell, failed
        self.pools: dict[Owner, ThreadPoolExecutor] = {}

    def submit(self, owner: Owner, work: Callable[[], Told]) -> None:
        """Run a role's work, and report its result."""
        if owner not in self.pools:
            name = f"lnet-{owner.kind}-{owner.slot}-{owner.index}"
            self.pools[owner] = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self.pools[owner].submit(self._run, work)

    def _run(self, work: Callable[[], Told]) -> None:
        try:
            told = work()
        except (Cancelled, CancelledError):
            return
        except Exception as error:  # what numerics, images or the disk did not foresee ends the run
            self.failed(error)
            return
        if told is not None:
            self.tell(*told)

    def end(self, owner: Owner) -> None:
        """Forget a role; what it is doing comes to nothing."""
        pool = self.pools.pop(owner, None)
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def end_all(self) -> None:
        for owner in list(self.pools):
            self.end(owner)
