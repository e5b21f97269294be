"""Sixty-four workers in one process, each with connections of its own: what they open is counted."""

import os
import threading
from contextlib import contextmanager

import dask
import numpy as np
import pytest
from distributed import Client, Scheduler, SpecCluster, Worker
from processes import DECODED, images, plan_of

import lnet
from lnet.compiler.core.shapes import Size
from lnet.runtime.cluster import check
from lnet.runtime.cluster.actors.roles_plugin import RolesPlugin
from lnet.runtime.cluster.descriptors import of_plan
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.cluster.transport import connection
from lnet.runtime.cluster.transport.connect import LASTING

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(3600),
]  # sixty-four tiles compile in one process

TILES = Size(8, 8)
PATIENT = {
    "distributed.comm.timeouts.connect": "600s",
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.admin.tick.interval": "10s",
    "distributed.worker.profile.enabled": False,
}
"""All workers share one interpreter: Dask would measure it once for each, and whoever is asked has to wait."""


@pytest.fixture
def patient(monkeypatch):
    """Times of a run whose processes are slow to answer."""
    of_many = Times.for_workers(2_000)
    monkeypatch.setattr(Times, "for_workers", staticmethod(lambda workers: of_many))
    monkeypatch.setattr(connection, "CONTROL_TIMEOUT", 600.0)
    monkeypatch.setattr(check, "ANSWER_TIMEOUT", 600.0)


@contextmanager
def workers_in_this_process(count):
    quiet = {"host": "127.0.0.1", "dashboard": False}
    options = {**quiet, "nthreads": 1, "memory_limit": 0}
    spec = {
        f"worker-{i}": {"cls": Worker, "options": {**options, "name": f"worker-{i}"}} for i in range(count)
    }
    scheduler = {"cls": Scheduler, "options": {**quiet, "port": 0, "dashboard_address": "127.0.0.1:0"}}
    with (
        dask.config.set({**LASTING, **PATIENT}),
        SpecCluster(workers=spec, scheduler=scheduler, silence_logs=50) as running,
        Client(running) as client,
    ):
        client.wait_for_workers(count, timeout=600)
        yield running, client


class Counting:
    """Counts the descriptors of this process, and the connections of each worker to others, all the time."""

    def __init__(self, running):
        self.running, self.most, self.lines, self.over = running, 0, 0, threading.Event()
        self.thread = threading.Thread(target=self._count)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()

    def _count(self):
        while not self.over.wait(0.5):
            self.most = max(self.most, len(os.listdir("/proc/self/fd")))
            for worker in self.running.workers.values():
                for plugin in list(worker.plugins.values()):
                    if isinstance(plugin, RolesPlugin) and hasattr(plugin, "lines"):  # it is set up
                        self.lines = max(self.lines, len(plugin.lines.lines))


def test_sixty_four_workers_open_a_connection_to_those_that_they_exchange_with(tmp_path, patient):
    count = TILES.rows * TILES.columns
    asked = {"program": DECODED, "staleness": 0, "steps": 3}
    plan, before = plan_of(workers=count, tiles=TILES, **asked), len(os.listdir("/proc/self/fd"))
    with workers_in_this_process(count) as (running, client), Counting(running) as counting:
        run = lnet.train(plan, images(size=24), directory=tmp_path / "run", client=client)
    alone = lnet.train(plan_of(workers=1, **asked), images(size=24), directory=tmp_path / "alone")
    start, found, expected = lnet.Network(plan).params, run.network().params, alone.network().params
    for name, value in expected.items():
        moved = np.linalg.norm(value - start[name])
        assert moved > 0, name
        assert np.linalg.norm(found[name] - value) < 1e-4 * moved, name
    told = [event.text or "" for event in run.events() if event.name == "note"]
    assert not [text for text in told if "do not reach" in text or "is lost" in text]
    assert (counting.most - before) / count <= count + 20
    others = of_plan(plan).lines + 2  # its standby, and the primary of which it is one
    assert 0 < counting.lines <= 3 * others < count  # one to each, and those that were just set aside
