"""Take a worker out of the runs on a cluster, then close it: python drain.py tcp://HOST:8786 worker-2

What it does is given to others first, and the parameters in it stay until they are in two other places.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from queue import Empty, Queue

from distributed import Client, Scheduler


def runs_on(dask_scheduler: Scheduler) -> list[str]:
    """Return the names of the runs under way."""
    return [name for name in dask_scheduler.plugins if name.startswith("lnet-")]


def drain(client: Client, run: str, worker: str) -> None:
    """Wait until a worker has nothing to do any more in a run."""
    events: Queue[dict[str, str]] = Queue()
    client.subscribe_topic(run, lambda stamped: events.put(stamped[1]))
    token = run.removeprefix("lnet-")
    if client.sync(client.scheduler.lnet_control, run=token, what="drain", worker=worker):
        while run in client.run_on_scheduler(runs_on):
            with suppress(Empty):
                if events.get(timeout=1)["event"] == "drained":
                    break
    client.unsubscribe_topic(run)


if __name__ == "__main__":
    address, worker = sys.argv[1:]
    with Client(address) as client:
        for run in client.run_on_scheduler(runs_on):
            drain(client, run, worker)
        client.retire_workers(names=[worker])
        print(f"{worker} is closed")
