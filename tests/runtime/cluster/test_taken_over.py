"""A coordinator that stood still wakes up, while the run that it had is another's: it writes nothing, and ends."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
from distributed import Client
from processes import PROGRAM, Watching, cluster, images, separate_processes

import lnet
from lnet.runtime.cluster.actors.coordinator_plugin import CoordinatorPlugin
from lnet.runtime.cluster.actors.roles_plugin import RolesPlugin
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.store import checkpoints
from lnet.runtime.store.owner import owner_of

pytestmark = pytest.mark.slow

TIMES = Times.for_workers(2)
SHORTENED = replace(
    TIMES, heartbeat_interval=0.2, failure_timeout=2.0, lease=1.5, retry=1.0, grace_period=6.0
)
"""A third of a run's own, as the seconds of those tests that have them."""
COMMAND = """
import json, sys
from dataclasses import replace
from lnet.runtime.cluster import launch
from lnet.runtime.cluster.protocol.spec import Times
times, no_worker_timeout = json.loads(sys.argv.pop(1))
Times.for_workers, config = lambda workers: Times(**times), launch._config
launch._config = lambda *a: replace(config(*a), no_worker_timeout=no_worker_timeout)
from lnet.cli import main
main()
"""


@pytest.fixture
def folder(tmp_path):
    pictures = images()
    np.save(tmp_path / "images.npy", (pictures - pictures.min()) / np.ptp(pictures))
    program = (PROGRAM % (4, 10**5, 1, 0)).replace('"none"', '"images.npy"')
    (tmp_path / "small.lnet").write_text(program)
    return tmp_path


def begun(folder, *arguments, times=TIMES, no_worker_timeout=60.0):
    """A command that trains in a process of its own."""
    asked = json.dumps([asdict(times), no_worker_timeout])
    command = [sys.executable, "-c", COMMAND, asked, "run", "small.lnet"]
    return subprocess.Popen(
        [*command, "-d", "run", *map(str, arguments)],
        cwd=folder,
        stdout=open(folder / "said", "w"),
        stderr=subprocess.STDOUT,
    )


def said(folder):
    return (folder / "said").read_text()


def until(condition, why, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)


def written(run):
    """All that there is of checkpoints, whole or not."""
    return {
        path.relative_to(run): path.stat().st_mtime_ns if path.is_file() else None
        for path in (run / "checkpoints").rglob("*")
    }


@pytest.mark.parametrize("then", ["cluster", "one process"])
@pytest.mark.parametrize(
    ("seconds", "times", "no_worker_timeout"),
    [
        pytest.param(20, TIMES, 60.0, id="20"),
        pytest.param(13, SHORTENED, 20.0, id="40, shortened"),
        pytest.param(30, SHORTENED, 20.0, id="90, shortened", marks=pytest.mark.long),
    ],
)
def test_a_scheduler_that_wakes_up_during_the_next_runs_first_checkpoint(
    folder, monkeypatch, then, seconds, times, no_worker_timeout
):
    run = folder / "run"
    monkeypatch.setattr(Times, "for_workers", lambda workers: times)
    with separate_processes(folder, 2) as (client, scheduler, _, _):
        address = client.scheduler_info(n_workers=0)["address"]
        first = begun(folder, "--cluster", address, times=times, no_worker_timeout=no_worker_timeout)
        until(lambda: first.poll() is None and "checkpoint 1 is" in said(folder), lambda: said(folder))
        was = owner_of(run).token
        scheduler.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        first.kill()
        first.wait()
        begins, woken = saved(run), []

        def wake():
            """Let the first coordinator do what it would, while the next one stands still."""
            time.sleep(max(0.0, stopped + seconds - time.monotonic()))
            before = written(run)
            scheduler.send_signal(signal.SIGCONT)
            has_left(address)
            woken.append(written(run) == before)

        place, name = (
            (checkpoints.CheckpointFolder, "commit") if then == "cluster" else (checkpoints, "save_shard")
        )
        monkeypatch.setattr(place, name, once(getattr(place, name), wake, woken))
        watching = Watching(until=lambda: woken and len(watching.logged("checkpoint")) > 1)
        if then == "one process":
            watching = Watching(at={begins + 20: lambda: os.kill(os.getpid(), signal.SIGINT)})
            with pytest.raises(lnet.Interrupted):
                lnet.resume(run, reporter=watching)
        else:
            with cluster(2) as second, pytest.raises(lnet.Interrupted):
                lnet.resume(run, client=second, reporter=watching)
    assert woken == [True]
    assert owner_of(run).token != was
    resumed = lnet.open_run(run)
    assert [event.step for event in resumed.events() if event.name == "resume"] == [begins]
    assert saved(run) >= begins + 10
    expected = lnet.train(
        lnet.compile(folder / "small.lnet"), steps=saved(run), directory=folder / "expected"
    )
    start = lnet.Network(resumed.plan).params
    for name, value in expected.network().params.items():
        moved = np.linalg.norm(value - start[name])
        assert np.linalg.norm(resumed.network().params[name] - value) < 1e-4 * moved, name


def once(call, before, failed):
    calls = []

    def wrapped(*arguments, **more):
        calls.append(None)
        if len(calls) == 1:
            try:
                before()
            except BaseException as error:
                failed.append(error)
        return call(*arguments, **more)

    return wrapped


def saved(run):
    return max(lnet.open_run(run).checkpoints.files())


def has_left(address):
    """Wait until nobody on a cluster takes part in a run any more."""

    def heads(dask_scheduler):
        return [
            name for name, plugin in dask_scheduler.plugins.items() if isinstance(plugin, CoordinatorPlugin)
        ]

    def hosts(dask_worker):
        return [name for name, plugin in dask_worker.plugins.items() if isinstance(plugin, RolesPlugin)]

    with Client(address, set_as_default=False, timeout=60) as client:
        until(lambda: not client.run_on_scheduler(heads), lambda: "the coordinator goes on")
        until(lambda: not any(client.run(hosts).values()), lambda: "workers keep their roles")
