"""A cluster of real processes on this machine, and a small network to train on it."""

from contextlib import contextmanager

import numpy as np
from distributed import Client, Nanny, Scheduler, SpecCluster

from lnet.compiler.pipeline import Layout, compile_source
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source
from lnet.runtime.progress import Silent

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


def plan_of(workers=2, batch=4, steps=20, replicas=1, staleness="none", tiles=None, program=PROGRAM):
    source = Source(program % (batch, steps, replicas, staleness), "small.lnet")
    return compile_source(source, {}, Collector(source), Layout(workers=workers, tiles=tiles))


def images(count=60, size=16):
    rng = np.random.default_rng(7)
    steps = rng.normal(size=(count, size, size, 1)).cumsum(1).cumsum(2)
    return ((steps - steps.mean((1, 2), keepdims=True)) / steps.std((1, 2), keepdims=True)).astype(np.float32)


@contextmanager
def cluster(workers):
    """Worker processes `worker-0`, `worker-1`, ... with nannies that start a new process for one that dies."""
    quiet = {"host": "127.0.0.1", "dashboard": False}
    spec = {
        f"worker-{number}": {
            "cls": Nanny,
            "options": {**quiet, "nthreads": 1, "name": f"worker-{number}", "memory_limit": 0},
        }
        for number in range(workers)
    }
    scheduler = {"cls": Scheduler, "options": {**quiet, "port": 0, "dashboard_address": None}}
    with (
        SpecCluster(workers=spec, scheduler=scheduler, silence_logs=50) as running,
        Client(running) as client,
    ):
        client.wait_for_workers(workers, timeout=60)
        yield client


class Watching(Silent):
    """Calls `at[step]` when a step is done, `on[words]` when they are first said, and keeps what was said."""

    def __init__(self, at=None, on=None):
        self.at, self.on, self.messages, self.steps = dict(at or {}), dict(on or {}), [], 0

    def stepped(self, step, objectives, images_per_second):
        self.steps = step
        if step in self.at:
            self.at.pop(step)()

    def said(self, message):
        self.messages.append(message)
        for words in [words for words in self.on if words in message]:
            self.on.pop(words)()


def process_of(client, name):
    """The process of the worker that has a name now."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    (address,) = [address for address, details in workers.items() if details["name"] == name]
    return client.run(_pid, workers=[address])[address]


def _pid():
    import os

    return os.getpid()
