"""How much memory there is for the roles of a worker: its machine's, its cgroup's, and what Dask's nanny allows it."""

from __future__ import annotations

import dask
from distributed import Worker

from lnet.runtime.cluster.protocol.messages import WorkerMemory
from lnet.runtime.process import cgroups


class Gauge:
    """Reads it; what the process holds when it begins is not its roles'."""

    def __init__(self, worker: Worker) -> None:
        self.base, self.pool = cgroups.held(), cgroups.pool()
        allowed = _allowed(worker)
        self.limit = None if allowed is None else max(0, allowed - self.base)

    def read(self) -> WorkerMemory:
        return WorkerMemory(self.pool, cgroups.free(), max(0, cgroups.held() - self.base), self.limit)


def _allowed(worker: Worker) -> int | None:
    """Return the bytes over which a nanny ends its worker."""
    limit = worker.memory_manager.memory_limit
    share = dask.config.get("distributed.worker.memory.terminate")
    return int(limit * share) if worker.nanny and limit and share else None
