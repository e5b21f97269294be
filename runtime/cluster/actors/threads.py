"""A thread for each role, which runs its numerics one at a time, in order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.transport.inbox import Cancelled

Outcome = tuple[Any, ...] | None
"""An event's class and what it says after `now`; None: nothing is to be told."""


class Threads:
    """`tell` takes an event, `failed` an exception; both are called from these threads."""

    def __init__(self, tell: Callable[..., None], failed: Callable[[Exception], None]) -> None:
        self.tell, self.failed = tell, failed
        self.pools: dict[RoleId, ThreadPoolExecutor] = {}

    def submit(self, role: RoleId, work: Callable[[], Outcome]) -> None:
        """Run a role's work, and report its result."""
        if role not in self.pools:
            name = f"lnet-{role.kind}-{role.slot}-{role.index}"
            self.pools[role] = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self.pools[role].submit(self._run, work)

    def _run(self, work: Callable[[], Outcome]) -> None:
        try:
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
