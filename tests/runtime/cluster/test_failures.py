"""Failures that really happen to the processes of a cluster while it trains, and what holds all the same."""

import os
import signal

import numpy as np
import pytest
from processes import Watching, cluster, images, plan_of, process_of

import lnet
from lnet.runtime.cluster import launch
from lnet.runtime.cluster.protocol.spec import Times

pytestmark = pytest.mark.slow

TIMES = Times(beat=0.2, silence=2.0, lease=1.5, retry=1.0, patience=4.0)
"""Shorter than a run's own, so that a test does not wait long for what it is about."""


@pytest.fixture(autouse=True)
def times(monkeypatch):
    monkeypatch.setattr(launch, "TIMES", TIMES)


@pytest.fixture(scope="module")
def pair():
    """Two workers; a nanny starts a new process for one that was killed."""
    with cluster(2) as client:
        yield client


@pytest.fixture
def client(pair):
    pair.wait_for_workers(2, timeout=60)
    return pair


@pytest.fixture(scope="module")
def expected(tmp_path_factory, pair):
    """Runs that nothing happens to."""
    found = {}

    def run(**asked):
        key = tuple(sorted(asked.items()))
        if key not in found:
            directory = tmp_path_factory.mktemp("undisturbed") / "run"
            found[key] = lnet.train(plan_of(**asked), images(), directory=directory, client=pair)
        return found[key].network().params

    return run


def killer(client, name, how=signal.SIGKILL):
    return lambda: os.kill(process_of(client, name), how)


def trained(directory, client, watching, **asked):
    return lnet.train(plan_of(**asked), images(), directory=directory, client=client, reporter=watching)


def assert_equal(run, params):
    for name, value in run.network().params.items():
        np.testing.assert_array_equal(value, params[name], err_msg=name)


def kinds(run):
    return [event["event"] for event in run.events()]


ASKED = {
    "asynchronous": {"workers": 2, "steps": 60},
    "synchronous": {"workers": 2, "steps": 60, "replicas": 2, "staleness": 0},
}


@pytest.mark.parametrize("how", ASKED)
@pytest.mark.parametrize("worker", ["worker-0", "worker-1"])
def test_a_worker_that_is_killed_loses_nothing(tmp_path, client, expected, how, worker):
    wanted = expected(**ASKED[how])
    watching = Watching(on={"the standby of shard 1 on": lambda: None}, at={20: killer(client, worker)})
    run = trained(tmp_path / "run", client, watching, **ASKED[how])
    print("\n".join(watching.messages))
    assert any("is promoted" in message for message in watching.messages)
    assert not {"lost", "rollback"} & set(kinds(run))
    assert_equal(run, wanted)
