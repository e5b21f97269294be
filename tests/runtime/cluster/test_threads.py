"""Roles of a process that compute at a time: a few, and those that wait for others are not among them."""

import threading
import time

import pytest

from lnet.runtime.cluster.actors import threads
from lnet.runtime.cluster.actors.threads import Threads, waiting
from lnet.runtime.cluster.protocol.events import RoleId


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(threads, "TURNS", threading.BoundedSemaphore(2))


def run(work, count):
    """Let so many roles work, and return what they reported."""
    told, failed = [], []
    pool = Threads(lambda: "float32", lambda *outcome: told.append(outcome), failed.append)
    for index in range(count):
        pool.submit(RoleId("tile", 0, index, index), work)
    while len(told) + len(failed) < count:
        time.sleep(0.01)
    pool.end_all()
    assert not failed
    return told


def test_no_more_roles_compute_at_a_time(two):
    lock, now, most = threading.Lock(), [0], [0]

    def work():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return ("done",)

    assert run(work, 8) == [("done",)] * 8
    assert most == [2]


def test_roles_that_wait_for_each_other_let_others_compute(two):
    together = threading.Barrier(8)

    def work():
        with waiting():
            together.wait(timeout=60)
        return ("done",)

    assert run(work, 8) == [("done",)] * 8
