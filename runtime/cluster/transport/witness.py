"""Why a worker's process ended: its nanny tells the run's coordinator before it starts another one.

    exit status -n, and Dask's memory limit was passed or the cgroup's  ->  memory, with the limit's bytes
    exit status -n                                                      ->  signal n
    exit status n                                                       ->  exit n

Nothing here imports numerics, so that nannies stay small.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from distributed import Nanny, NannyPlugin
from distributed.comm.core import CommClosedError

from lnet.runtime.cluster.names import ENDED, plugin_name
from lnet.runtime.cluster.protocol.deaths import Cause
from lnet.runtime.cluster.protocol.messages import ProcessExited
from lnet.runtime.cluster.protocol.wire import pack
from lnet.runtime.process import cgroups


class Witness(NannyPlugin):
    """Reports every exit of a nanny's process while a run lasts."""

    def __init__(self, run: str) -> None:
        self.run, self.name = run, plugin_name(run)

    def setup(self, nanny: Nanny) -> None:
        self.nanny, self.kills, self.terminated = nanny, cgroups.kills(), _terminated(nanny)
        self.telling: set[asyncio.Task[None]] = set()
        if not isinstance(nanny._on_worker_exit_sync, _Exits):
            _Exits(nanny)

    def exited(self, status: int) -> None:
        """Report a process that has exited."""
        address = self.nanny.address
        ended = ProcessExited(
            self.run,
            address,
            str(self.nanny.name or address),
            self._cause(status),
            self.nanny.worker_address or "",
        )
        task = asyncio.get_running_loop().create_task(self._tell(ended))
        self.telling.add(task)
        task.add_done_callback(self.telling.discard)

    def _cause(self, status: int) -> Cause:
        terminated, kills = _terminated(self.nanny), cgroups.kills()
        by_dask, by_system = terminated != self.terminated, kills > self.kills
        self.terminated, self.kills = terminated, kills
        if by_dask and self.nanny.memory_manager.memory_limit:
            return Cause("memory", int(self.nanny.memory_manager.memory_limit))
        if by_system and status == -signal.SIGKILL:
            return Cause("memory", cgroups.limit() or cgroups.memory())
        return Cause("signal", -status) if status < 0 else Cause("exit", status)

    async def _tell(self, ended: ProcessExited) -> None:
        try:
            await getattr(self.nanny.scheduler, ENDED)(run=self.run, ended=pack(ended)[0])
        except (OSError, CommClosedError):
            return  # the scheduler is gone, and the run with it


class _Exits:
    """Wraps a nanny's exit callback, so that the witnesses of all runs are called first."""

    def __init__(self, nanny: Any) -> None:
        self.nanny, self.then = nanny, nanny._on_worker_exit_sync
        nanny._on_worker_exit_sync = self
        if nanny.process is not None:
            nanny.process.on_exit = self

    def __call__(self, status: int) -> None:
        for plugin in list(self.nanny.plugins.values()):
            if isinstance(plugin, Witness):
                plugin.exited(status)
        self.then(status)


def _terminated(nanny: Nanny) -> int:
    """Return the process that Dask ended last for its memory."""
    found: int = nanny.memory_manager._last_terminated_pid
    return found
