"""How long workers take to join a run: python benchmarks/join.py [WORKERS]

Dask's own scheduler in one process, and in another one Dask's own workers, each with its connections to the scheduler, but
with forged roles: they join as those of lnet do, obey what the coordinator sends, and compute nothing. The network is
examples/catface in five replicas. Workers are ready once each has taken the run's configuration, has joined, and obeys the
roles that it was given. What a worker does on a machine of its own (imports, its images, its programs) is not in it; all
forged workers share one processor.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import cache, lru_cache
from pathlib import Path
from time import monotonic, process_time, sleep
from typing import Any

import dask
from distributed import Client, Worker
from distributed import worker as worker_module
from distributed.protocol.pickle import loads
from timing import machine

import lnet
from lnet.compiler.plan.plan import Plan
from lnet.runtime.cluster import check, clock, descriptors, launch
from lnet.runtime.cluster.actors.entrance import Entrance
from lnet.runtime.cluster.config import RunConfig, unpacked
from lnet.runtime.cluster.names import DESIRED_STATES, HEARTBEATS
from lnet.runtime.cluster.protocol import events
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol import worker as roles
from lnet.runtime.cluster.protocol.events import COORDINATOR
from lnet.runtime.cluster.protocol.wire import pack, unpack
from lnet.runtime.cluster.transport.connection import Connection
from lnet.runtime.store.run import DataInfo, create_run

WORKERS, REPLICAS = 845, 5
AT_ONCE = 32
"""Workers that connect at the same time."""
MODEL = Path(__file__).parents[1] / "examples" / "catface" / "model.lnet"
QUIET = {
    "distributed.admin.tick.interval": "1h",
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.profile.enabled": False,
}
"""What Dask measures of each worker's process: here all have the same."""

configuration = lru_cache(maxsize=1)(unpacked)


class Forged(Worker):
    """A worker of Dask's whose roles are forged."""

    crowd: Crowd

    async def plugin_add(self, plugin: Any, name: str | None = None, catch_errors: bool = True) -> Any:
        found = loads(plugin)
        if isinstance(found, Entrance):
            self.crowd.take(self, configuration(found.config))
        return {"status": "OK"}


class Crowd:
    """The forged workers of this process; says when all of them have come so far."""

    def __init__(self, count: int) -> None:
        self.count, self.states, self.ready = count, dict[str, roles.Worker](), set[str]()

    async def start(self, scheduler: str) -> None:
        Forged.crowd, turn = self, asyncio.Semaphore(AT_ONCE)

        async def connect(number: int) -> Worker:
            quiet = {"host": "127.0.0.1", "dashboard": False, "nthreads": 1, "memory_limit": 0}
            async with turn:
                return await Forged(scheduler, name=f"worker-{number}", **quiet)

        workers = await asyncio.gather(*map(connect, range(self.count)))
        say("connected")
        await asyncio.gather(*(worker.finished() for worker in workers))

    def take(self, worker: Worker, config: RunConfig) -> None:
        """Join a run."""
        name = f"{worker.address}#forged"
        place, now = str(worker.name), clock.now()
        worker.stream_handlers[DESIRED_STATES] = lambda run, desired: self.told(worker, name, desired)
        state, instructions = roles.begin(config.spec, name, f"host-{place}", now, place, config.capacity)
        self.perform(worker, name, state, instructions)
        if len(self.states) == self.count:
            say("configured")

    def told(self, worker: Worker, name: str, desired: Any) -> None:
        self.step(worker, name, events.Received(clock.now(), COORDINATOR, unpack(desired, [])))
        found = self.states[name]
        if found.tiles or found.servers:
            self.ready.add(name)
        if len(self.ready) == self.count:
            say("ready")

    def step(self, worker: Worker, name: str, event: Any) -> None:
        self.perform(worker, name, *roles.step(self.states[name], event))

    def perform(self, worker: Worker, name: str, state: roles.Worker, instructions: Any) -> None:
        self.states[name] = state
        for instruction in instructions:
            match instruction:
                case do.Send() if instruction.to == COORDINATOR:
                    data, _ = pack(instruction.message)
                    worker.batched_send({"op": HEARTBEATS, "run": state.spec.run, "heartbeat": data})
                case do.SetTimer():
                    wait = max(0.0, instruction.at - clock.now())
                    loop = asyncio.get_running_loop()
                    loop.call_later(wait, lambda: self.step(worker, name, events.Tick(clock.now())))


def say(what: str) -> None:
    print(f"{monotonic()} {what}", flush=True)


def main(count: int) -> None:
    print(machine())
    descriptors.limit()
    plan = lnet.compile(MODEL, workers=count, replicas=REPLICAS)
    print(plan.summary())
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "scheduler.json"
        where = ("--scheduler-file", str(file), "--host", "127.0.0.1", "--port", "0")
        started(stack, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", *where)
        while not file.exists():
            sleep(0.1)
        client = stack.enter_context(Client(scheduler_file=str(file), timeout=60))
        began = monotonic()
        crowd = started(stack, __file__, "--forge", client.scheduler_info(n_workers=0)["address"], str(count))
        line("connected", heard(crowd, "connected") - began, "from the start of their process")
        join(client, crowd, Path(folder), plan)


def join(client: Client, crowd: subprocess.Popen[str], folder: Path, plan: Plan) -> None:
    """Begin a run as the command does, until all workers are ready."""
    data: DataInfo = {"base": str(folder), "images": 0, "in_memory": False, "classes": None}
    run = create_run(folder / "run", plan, data, {})
    began, used = monotonic(), client.run_on_scheduler(process_time)
    config = launch._config(client, run, None)
    check.ANSWER_TIMEOUT = 600.0  # all forged workers answer with one processor
    check.check_processes(client, config)
    line("checked", monotonic() - began, "versions, files and limits of each")
    began = monotonic()
    with launch._roles(Connection(client, run, config), print):
        line("configured", heard(crowd, "configured") - began, f"{len(config.packed):,} bytes to each")
        line("ready", heard(crowd, "ready") - began, "each has joined and obeys its roles")
        spent = client.run_on_scheduler(process_time) - used
        held = len(client.run_on_scheduler(os.listdir, "/proc/self/fd"))
        line("scheduler", spent, f"of its processor; it has {held:,} descriptors")
    began_decoding = process_time()
    unpacked(config.packed).descriptors  # noqa: B018
    line("decoding", process_time() - began_decoding, "of a worker's processor, for its configuration")


def started(stack: ExitStack, *arguments: str) -> subprocess.Popen[str]:
    """Start a process of Python that ends with the stack."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def heard(crowd: subprocess.Popen[str], what: str) -> float:
    """Wait until the crowd says something, and return when it was said."""
    assert crowd.stdout is not None
    for said in crowd.stdout:
        when, word = said.split()
        if word == what:
            return float(when)
    raise RuntimeError(f"the workers ended before they were {what}")


def line(what: str, seconds: float, about: str) -> None:
    print(f"{what:12} {seconds:7.1f} s   {about}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--forge"]:
        descriptors.limit()
        worker_module.get_versions = cache(worker_module.get_versions)  # that of each package, by its files
        with dask.config.set(QUIET):
            asyncio.run(Crowd(int(sys.argv[3])).start(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else WORKERS)
