"""A cluster of real processes on this machine, and a small network to train on it."""

import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack, contextmanager

import dask
import numpy as np
from distributed import Client, Nanny, Scheduler, SpecCluster

from lnet.compiler.pipeline import Layout, compile_source
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source
from lnet.runtime.cluster.transport.connect import LASTING, workers_of
from lnet.runtime.training.progress import Silent

PROGRAM = """
stage s() {
    filter: local(5, maps = 3)
    pool: l2pool(3)
    norm: lcn(3)
    learn: rica(sparsity = 0.3)
}
network small { image: input(16x16x1); V1: s() }
train {
    data = frames("none")
    update = adagrad(rate = 0.05)
    batch = %d
    steps = %d
    replicas = %d
    staleness = %s
    checkpoint = 10
}
"""


DECODED = """
network small {
    image: input(24x24x1)
    f: local(3, maps = 2)
    d: decode(f)
    e: squared_error(d, image)
}
train { batch = %d; steps = %d; replicas = %d; staleness = %s; update = adagrad(rate = 0.05) }
"""
"""A stage in which tiles exchange with neighbours alone."""


def plan_of(
    workers=2,
    batch=4,
    steps=20,
    replicas=1,
    staleness="none",
    tiles=None,
    program=PROGRAM,
    shards_per_tile=None,
):
    source = Source(program % (batch, steps, replicas, staleness), "small.lnet")
    return compile_source(
        source, {}, Collector(source), Layout(workers=workers, tiles=tiles, shards_per_tile=shards_per_tile)
    )


def images(count=60, size=16):
    rng = np.random.default_rng(7)
    steps = rng.normal(size=(count, size, size, 1)).cumsum(1).cumsum(2)
    least, most = steps.min((1, 2), keepdims=True), steps.max((1, 2), keepdims=True)
    return ((steps - least) / (most - least)).astype(np.float32)


@contextmanager
def cluster(workers, **options):
    """Worker processes `worker-0`, `worker-1`, ... with nannies that start a new process for one that dies.

    `options` are those of Dask's nannies.
    """
    quiet = {"host": "127.0.0.1", "dashboard": False}
    spec = {
        f"worker-{number}": {
            "cls": Nanny,
            "options": {
                **quiet,
                "nthreads": 1,
                "name": f"worker-{number}",
                "memory_limit": 0,
                "silence_logs": 40,
                **options,
            },
        }
        for number in range(workers)
    }
    scheduler = {"cls": Scheduler, "options": {**quiet, "port": 0, "dashboard_address": "127.0.0.1:0"}}
    with (
        dask.config.set(LASTING),
        SpecCluster(workers=spec, scheduler=scheduler, silence_logs=50) as running,
        Client(running) as client,
    ):
        client.wait_for_workers(workers, timeout=60)
        yield client


@contextmanager
def separate_processes(directory, workers, env=None, limit=None):
    """A scheduler and workers without nannies, as they are started by hand, and a way to start one more of them.

    `limit`: of the scheduler's descriptors.
    """
    with ExitStack() as stack:
        file = directory / "scheduler.json"
        scheduler = stack.enter_context(
            _process(
                "scheduler",
                "--scheduler-file",
                file,
                "--port",
                0,
                "--dashboard-address",
                ":0",
                env=env,
                limit=limit,
            )
        )

        def start(name, *more, nanny=False, group=None, limit=None):
            kept = "--nanny" if nanny else "--no-nanny"
            arguments = ("--scheduler-file", file, "--nthreads", 1, kept, "--name", name, *more)
            return stack.enter_context(_process("worker", *arguments, env=env, group=group, limit=limit))

        processes = {f"worker-{number}": start(f"worker-{number}") for number in range(workers)}
        with Client(scheduler_file=file, timeout=60) as client:
            if workers:
                client.wait_for_workers(workers, timeout=60)
            yield client, scheduler, processes, start


@contextmanager
def _process(kind, *arguments, env=None, group=None, limit=None):
    """One of Dask's commands; `group`: the file of a cgroup that its processes are to be in; `limit`: of descriptors."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1", "--no-dashboard"]
    into = [] if group is None else ["sh", "-c", f'echo $$ > {group} && exec "$@"', "sh"]
    into += [] if limit is None else ["sh", "-c", f'ulimit -n {limit} && exec "$@"', "sh"]
    process = subprocess.Popen(
        [*into, *command, *map(str, arguments)],
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def started_by_hand(client, name, env=None):
    """One more worker of a cluster, without a nanny."""
    scheduler = client.scheduler_info(n_workers=0)["address"]
    return _process("worker", scheduler, "--nthreads", 1, "--no-nanny", "--name", name, env=env)


def control(client, what, worker=""):
    """Ask something of the coordinator of the only run on a cluster."""
    (token,) = [n.removeprefix("lnet-") for n in client.cluster.scheduler.plugins if n.startswith("lnet-")]
    return client.sync(client.scheduler.lnet_control, run=token, what=what, worker=worker)


class Watching(Silent):
    """Calls `at[step]` when a step is done, `on[words]` when they are first said, and keeps what was said and logged.

    Once `until()` holds after a step, it stops the run as Ctrl-C does: how long a run takes is no matter of luck. It asks
    after every step, so events are kept by their kinds: among all of them, those of so many steps, it would fall behind.
    """

    def __init__(self, at=None, on=None, until=None):
        self.at, self.on, self.until = dict(at or {}), dict(on or {}), until
        self.messages, self.events, self.steps = [], defaultdict(list), 0

    def stepped(self, step, objectives, images_per_second):
        self.steps = step
        if step in self.at:
            self.at.pop(step)()
        if self.until is not None and self.enough():
            self.until = None
            signal.raise_signal(signal.SIGINT)

    def said(self, message):
        self.messages.append(message)
        for words in [words for words in self.on if words in message]:
            self.on.pop(words)()

    def happened(self, event):
        self.events[event.name].append(event)

    def enough(self):
        return self.until()

    def told(self, words):
        """How many messages have these words in them."""
        return sum(words in message for message in self.messages)

    def logged(self, kind):
        """The events of a kind."""
        return self.events[kind]


class Striking(Watching):
    """Calls the next of `strikes` when `every` steps have been done since the last one, all standbys are ready and
    `when()` holds; has seen enough no sooner than as many steps after the last of them.

    `servers[shard]` are the workers of its primary and of its standby, by their names.
    """

    def __init__(self, *strikes, every=15, when=lambda: True, **calls):
        super().__init__(**calls)
        self.strikes, self.every, self.when, self.last = list(strikes), every, when, 0
        self.servers, self.ready = {}, set()

    def stepped(self, step, objectives, images_per_second):
        super().stepped(step, objectives, images_per_second)
        if self.strikes and self.rested() and self.ready == set(self.servers) and self.when():
            self.last = step
            self.strikes.pop(0)()

    def rested(self):
        return self.steps >= self.last + self.every

    def enough(self):
        return not self.strikes and self.rested() and super().enough()

    def said(self, message):
        super().said(message)
        if (found := re.match(r"shard (\d+) begins on (\S+) ", message)) or (
            found := re.match(r"the standby of shard (\d+) on (\S+) is promoted", message)
        ):
            self._serve(int(found[1]), 0, found[2])
        elif found := re.match(r"the standby of shard (\d+) is to be filled on (\S+)", message):
            self._serve(int(found[1]), 1, found[2])
        elif found := re.match(r"the standby of shard (\d+) on \S+ is ready", message):
            self.ready.add(int(found[1]))

    def _serve(self, shard, place, name):
        self.servers.setdefault(shard, [None, None])[place] = name
        self.ready.discard(shard)


def address_of(client, name):
    """The address of the worker that has a name now."""
    workers = workers_of(client)
    (address,) = [address for address, details in workers.items() if details["name"] == name]
    return address


def process_of(client, name):
    """The process of the worker that has a name now."""
    address = address_of(client, name)
    return client.run(_pid, workers=[address])[address]


def _pid():
    return os.getpid()
