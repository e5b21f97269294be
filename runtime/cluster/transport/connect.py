"""A client of a Dask cluster: one of this machine's own, one at an address, or one that a scheduler file names."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster
from distributed.utils import silence_logging_cmgr

from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import refused
from lnet.runtime.cluster.descriptors import check_own
from lnet.runtime.process.gpus import environments, leave_memory
from lnet.runtime.process.stopping import SIGNALS

from .connection import CONTROL_TIMEOUT, lost

LOCAL = "local"
ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
LASTING = {
    "distributed.deploy.lost-worker-timeout": "1 day",
    "distributed.scheduler.worker-ttl": None,
    f"{ENVIRONMENT}.MALLOC_TRIM_THRESHOLD_": None,
    f"{ENVIRONMENT}.GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""For clusters of this machine. Dask closes the nanny of a worker that is not back after 15 s, for good; on a busy machine
one takes longer to start. It ends workers of which nothing was heard for five minutes, by a wall clock that may be set.
And it has workers give freed memory back at once, which every step then takes again, a third of its time; what is taken
comes in large pages, which the system clears several times faster.
"""


@contextmanager
def connected(where: str, plan: Plan) -> Iterator[Client]:
    """Give a client: `where` is "local" (a process of this machine for each worker of the plan), `tcp://HOST:PORT`,
    `tls://HOST:PORT` or the path of a scheduler file. Raises `LnetError` if nobody answers there, or this process may not
    open what so many workers take.

    Certificates for TLS are those of Dask's configuration (`distributed.comm.tls`).
    """
    with silence_logging_cmgr(logging.CRITICAL):
        if where == LOCAL:
            check_own(len(plan.placement.cluster.workers))
            with dask.config.set(LASTING), _local(plan) as cluster, Client(cluster) as client:
                yield client
            return
        with client_at(where, 20) as client:
            yield client


def client_at(where: str, seconds: float) -> Client:
    """Return a client of the cluster at an address or of a scheduler file; raises `LnetError` if nobody answers there."""
    try:
        if "://" in where:
            return Client(where, timeout=seconds)
        return Client(scheduler_file=_file(where), timeout=seconds)
    except (OSError, ValueError) as error:
        hint = "start one: dask scheduler; or wait for it: --wait"
        raise refused("E760", f"no cluster answers at '{where}'", str(error), hint=hint) from error


def workers_of(client: Client) -> dict[str, Any]:
    """Return the scheduler's record of each worker, by its address; raises `LnetError` if it does not answer.

    Dask's `Client.scheduler_info` may leave them out: it keeps one answer, and asks anew, without workers, all the time.
    """
    if client.scheduler is None:
        raise refused("E760", "the client has no connection to a cluster")
    try:
        identity = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=CONTROL_TIMEOUT)
    except OSError as error:
        raise lost("E760", "the cluster does not answer", str(error), hint="wait for it: --wait") from error
    workers: dict[str, Any] = identity["workers"]
    return workers


def _file(where: str) -> str:
    if not Path(where).is_file():
        raise refused(
            "E760",
            f"'{where}' is neither an address nor a scheduler file",
            hint="write --cluster tcp://HOST:8786, or start 'dask scheduler --scheduler-file FILE'",
        )
    return where


class Sheltered(Nanny):
    """Starts a worker of this machine's own, which does not hear what is meant for the command.

    A terminal sends Ctrl-C to all processes of its foreground group, systemd SIGTERM to all of a service; workers that
    end by it could not save what they hold.
    """

    async def instantiate(self) -> Any:
        """Block the signals in this thread, whose mask is that of all threads and processes that it starts."""
        resource_tracker.ensure_running()  # unblocks some of them when it starts its own process
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        return await super().instantiate()


def _local(plan: Plan) -> SpecCluster:
    """Return a cluster of processes on this machine, named and as many as the plan's workers, which share its GPUs."""
    quiet = {"host": "127.0.0.1", "dashboard": False}
    scheduler = {"cls": Scheduler, "options": {**quiet, "port": 0, "dashboard_address": "127.0.0.1:0"}}
    there = plan.placement.cluster.workers
    workers = {
        worker.name: {
            "cls": Sheltered,
            "options": {
                **quiet,
                "nthreads": 1,
                "name": worker.name,
                "memory_limit": 0,
                "silence_logs": logging.CRITICAL,
                "env": environment,
            },
        }
        for worker, environment in zip(there, environments(len(there)), strict=True)
    }
    leave_memory()
    return SpecCluster(
        workers=workers, scheduler=scheduler, asynchronous=False, silence_logs=logging.CRITICAL, name="lnet"
    )
