"""Failures that really happen to the processes of a cluster while it trains, and what holds all the same."""

import os
import re
import signal
import time
import urllib.request
from contextlib import nullcontext
from dataclasses import replace
from threading import Timer

import numpy as np
import pytest
from distributed import Client
from forged import REASONS, Forger
from processes import (
    PROGRAM,
    Striking,
    Watching,
    cluster,
    control,
    images,
    plan_of,
    process_of,
    separate_processes,
)

import lnet
from lnet.dsl.diagnostics import LnetError, render_all
from lnet.runtime.cluster import launch
from lnet.runtime.cluster.actors.coordinator_plugin import CoordinatorPlugin
from lnet.runtime.cluster.actors.roles_plugin import RolesPlugin
from lnet.runtime.cluster.names import DELIVER
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.cluster.transport import connection, outbox, parcels
from lnet.runtime.cluster.transport.connect import workers_of
from lnet.runtime.store.owner import owner_of
from lnet.runtime.store.shards import aside

pytestmark = pytest.mark.slow

TIMES = Times(heartbeat_interval=0.2, failure_timeout=2.0, lease=1.5, retry=1.0, grace_period=4.0)
"""Shorter than a run's own, so that a test does not wait long for what it is about."""

ASKED = {
    "asynchronous": {"workers": 2},
    "synchronous": {"workers": 2, "replicas": 2, "staleness": 0, "shards_per_tile": 2},
    "clipped": {
        "workers": 2,
        "replicas": 2,
        "staleness": 0,
        "shards_per_tile": 2,
        "program": PROGRAM.replace("checkpoint = 10", "checkpoint = 10; clip = 0.01"),
    },
}
MOST = 20_000
"""Steps of a run that ends as soon as what it is about has been seen."""


@pytest.fixture(autouse=True)
def times(monkeypatch):
    monkeypatch.setattr(Times, "for_workers", lambda workers: TIMES)


@pytest.fixture(scope="module")
def pair():
    """Two workers: each has a tile, its primary, and the other's standby; a nanny starts a new process for one that ends."""
    with cluster(2) as client:
        yield client


@pytest.fixture
def client(pair):
    pair.wait_for_workers(2, timeout=60)
    return pair


@pytest.fixture(scope="module")
def expected(tmp_path_factory, pair):
    """Parameters after some steps of a run that nothing happens to; where the machine itself stood still for so long that
    a step was torn, the run is made again: it would be no measure of bits."""
    found = {}

    def params(how, steps):
        while (how, steps) not in found or torn(found[how, steps]):
            directory = tmp_path_factory.mktemp("undisturbed") / "run"
            plan = plan_of(**ASKED[how], steps=steps)
            found[how, steps] = lnet.train(plan, images(), directory=directory, client=pair)
        return found[how, steps].network().params

    return params


def trained(tmp_path, client, watching, steps=MOST, **asked):
    """Train until `watching` has seen enough, if it says when that is."""
    directory, ends = tmp_path / "run", watching.until is None
    with nullcontext() if ends else pytest.raises(lnet.Interrupted):
        lnet.train(
            plan_of(steps=steps, **asked), images(), directory=directory, client=client, reporter=watching
        )
    return lnet.open_run(directory)


def strike(client, worker, blow=signal.SIGKILL):
    os.kill(process_of(client, worker), blow)


def assert_nothing_lost(run, expected, how="asynchronous"):
    """The same bits as undisturbed, unless a step is torn: some shards had taken it when it was begun again."""
    assert not {"lost", "rollback"} & {event.name for event in run.events()}
    assert run.events()[-1].name in ("done", "interrupted")
    params = expected(how, saved(run))
    if torn(run):
        assert run.plan.graph.training.staleness != 0
        assert_close(run, params, within=0.1)
        return
    for name, value in run.network().params.items():
        np.testing.assert_array_equal(value, params[name], err_msg=name)


def saved(run):
    """The step of the newest checkpoint."""
    return max(run.checkpoints.files())


def torn(run):
    return any(event.name == "torn" for event in run.events())


def assert_close(run, params, within=1e-4):
    start = lnet.Network(run.plan).params
    for name, value in run.network().params.items():
        moved = np.linalg.norm(params[name] - start[name])
        assert np.linalg.norm(value - params[name]) < within * moved, name


def refusal(call):
    with pytest.raises(LnetError) as caught:
        call()
    return render_all(caught.value.diagnostics, caught.value.source)


# --- one worker ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["asynchronous", "synchronous", "clipped"])
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_worker_that_ends_loses_nothing(tmp_path, client, expected, how, blow):
    watching = Striking(
        lambda: strike(client, watching.servers[0][0], blow), until=lambda: watching.told("is promoted")
    )
    run = trained(tmp_path, client, watching, **ASKED[how])
    assert_nothing_lost(run, expected, how)


def test_a_wall_clock_that_is_set_changes_time_stamps_alone(tmp_path, client, monkeypatch):
    """That of scheduler and command, between the loss of a worker and its repair."""

    def strike_and_set():
        strike(client, watching.servers[0][0])
        monkeypatch.setattr(time, "time", lambda: time.clock_gettime(time.CLOCK_REALTIME) + 3600)

    watching = Striking(strike_and_set, until=lambda: watching.logged("repaired"))
    run = trained(tmp_path, client, watching, **ASKED["asynchronous"])
    assert run.events()[-1].name == "interrupted"
    assert all(0 < event.still < 600 for event in watching.logged("repaired"))
    stamps = [event.time for event in run.events()]
    assert 3000 < stamps[-1] - stamps[0] < 4200


def test_two_failures_in_a_row(tmp_path, client, expected):
    watching = Striking(
        *[lambda shard=shard: strike(client, watching.servers[shard][0]) for shard in (0, 1)],
        until=lambda: watching.told("is promoted") >= 2,
    )
    run = trained(tmp_path, client, watching, **ASKED["asynchronous"])
    assert_nothing_lost(run, expected)


def test_a_worker_that_comes_back_computes_again(tmp_path, client):
    watching = Striking(
        lambda: strike(client, watching.servers[0][0]),
        every=20,
        until=lambda: watching.told("work is spread more evenly"),
    )
    trained(tmp_path, client, watching, workers=2)
    computed = [message for message in watching.messages if "replica 0 is computed by" in message]
    assert [len(set(re.findall(r"worker-\d", message))) for message in computed] == [2, 1, 2]
    assert watching.logged("step")[-1].generation == 3


def test_a_stopped_worker_wakes_up_as_a_zombie(tmp_path, client, expected):
    stopped = []

    def wake():
        os.kill(stopped[0], signal.SIGCONT)

    watching = Striking(
        lambda: stopped.append(stop_primary(client, watching)),
        on={"is promoted": wake},
        until=lambda: {event.reason for event in watching.logged("refused")} & LATE,
    )
    run = trained(tmp_path, client, watching, **ASKED["asynchronous"])
    assert_nothing_lost(run, expected)


LATE = {
    "of a generation that is over",
    "of another filling",
    "of another primary",
    "of another term",
    "no such role here",
}
"""Why a message is refused of a worker that does not know yet what has become of its roles."""


def test_a_worker_that_stands_still_holds_nobody_up(tmp_path, client, expected, monkeypatch):
    monkeypatch.setattr(connection, "CONTROL_TIMEOUT", 6.0)
    stopped = []
    watching = Striking(
        lambda: stopped.append(stop_primary(client, watching)), until=lambda: watching.told("is promoted")
    )
    try:
        run = trained(tmp_path, client, watching, **ASKED["synchronous"])
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)
    assert_nothing_lost(run, expected, "synchronous")


def stop_primary(client, watching):
    process = process_of(client, watching.servers[0][0])
    os.kill(process, signal.SIGSTOP)
    return process


def test_a_worker_is_drained(tmp_path, client, expected):
    watching = Striking(
        lambda: control(client, "drain", "worker-0"), until=lambda: watching.logged("drained")
    )
    run = trained(tmp_path, client, watching, **ASKED["asynchronous"])
    assert [event.worker for event in run.events() if event.name == "drained"] == ["worker-0"]
    computed = [message for message in watching.messages if "is computed by" in message]
    assert "worker-0" in computed[0]
    assert "worker-0" not in computed[-1]
    assert_nothing_lost(run, expected)


# --- more than is kept twice ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "event"), [("asynchronous", "lost"), ("synchronous", "rollback")])
def test_primary_and_standby_lost_at_once(tmp_path, expected, how, event):
    with cluster(2) as client:

        def strike_both():
            for process in [process_of(client, worker) for worker in watching.servers[0]]:
                os.kill(process, signal.SIGKILL)

        watching = Striking(
            strike_both, when=lambda: watching.logged("checkpoint"), until=lambda: watching.logged(event)
        )
        run = trained(tmp_path, client, watching, **ASKED[how])
    losses = [e for e in run.events() if e.name == event]
    assert losses
    assert all(loss.checkpoint >= 1 for loss in losses)
    found, wanted = run.network().params, expected(how, saved(run))
    same = all(np.array_equal(found[name], wanted[name]) for name in wanted)
    # Synchronous steps are computed again; of an asynchronous run just what is declared is missing.
    assert same == (event == "rollback" or not any(loss.updates for loss in losses))


# --- workers and schedulers that do not come back ------------------------------------------------------------------


def test_a_worker_that_joins_late_takes_over(tmp_path, expected):
    with separate_processes(tmp_path, 2) as (client, _, processes, start):

        def replace_first():
            start("late")
            processes["worker-0"].kill()

        def computing():
            return [message for message in watching.messages if "is computed by" in message][-1]

        watching = Striking(
            replace_first, processes["worker-1"].kill, until=lambda: computing().count("late") == 2
        )
        run = trained(tmp_path, client, watching, **ASKED["asynchronous"])
    assert_nothing_lost(run, expected)


def test_the_scheduler_is_killed_E763(tmp_path, expected):
    with separate_processes(tmp_path, 2) as (client, scheduler, processes, _):
        watching = Watching(on={"checkpoint 1 is committed": scheduler.kill})
        text = refusal(lambda: trained(tmp_path, client, watching, **ASKED["asynchronous"]))
        for process in processes.values():
            process.wait(timeout=60)
    assert text.startswith("error E763: the cluster was lost")
    begun = saved(lnet.open_run(tmp_path / "run"))
    assert f"go on from the checkpoint at step {begun:,}: lnetc resume {tmp_path / 'run'} --cluster" in text
    run = lnet.resume(tmp_path / "run", images(), steps=begun + 30)
    resumed = next(event for event in run.events() if event.name == "resume")
    assert resumed.step == begun >= 10
    assert_close(run, expected("asynchronous", begun + 30), within=0.1 if resumed.torn else 1e-4)


def test_workers_without_a_scheduler_leave_the_run_E763(tmp_path, monkeypatch):
    """It stands still, so that no connection ends: only what it does not say shows."""

    def roles_held(dask_worker):
        hosts = [plugin for plugin in dask_worker.plugins.values() if isinstance(plugin, RolesPlugin)]
        held = [(h.state.tiles, h.state.servers, h.tiles.replicas, h.servers.servers) for h in hosts]
        return sum(len(roles) for found in held for roles in found)

    monkeypatch.setattr(connection, "CONTROL_TIMEOUT", 2.0)
    config = launch._config
    monkeypatch.setattr(launch, "_config", lambda *a: replace(config(*a), no_worker_timeout=3.0))
    with separate_processes(tmp_path, 2) as (client, scheduler, processes, _):
        workers = workers_of(client).values()
        addresses = [f"http://127.0.0.1:{worker['services']['dashboard']}/metrics" for worker in workers]
        watching = Watching(at={20: lambda: scheduler.send_signal(signal.SIGSTOP)})
        text = refusal(lambda: trained(tmp_path, client, watching, workers=2, steps=5000))
        assert text.startswith("error E763: the cluster was lost")
        deadline = time.monotonic() + 30
        while any("lnet_roles" in read(address) for address in addresses):
            assert time.monotonic() < deadline, "workers keep what nobody will ask for"
            time.sleep(0.2)
        scheduler.send_signal(signal.SIGCONT)
        with Client(client.scheduler.address, set_as_default=False, timeout=30) as other:
            assert set(other.run(roles_held).values()) == {0}
        assert all(process.poll() is None for process in processes.values())


def test_a_worker_that_stood_still_long_stays(tmp_path, client, monkeypatch):
    config, stopped = launch._config, []
    monkeypatch.setattr(launch, "_config", lambda *a: replace(config(*a), no_worker_timeout=3.0))

    def stop():
        stopped.append(process_of(client, "worker-1"))
        os.kill(stopped[0], signal.SIGSTOP)
        Timer(5.0, os.kill, (stopped[0], signal.SIGCONT)).start()

    watching = Watching(at={20: stop})
    run = trained(tmp_path, client, watching, workers=2, steps=60)
    assert process_of(client, "worker-1") == stopped[0]
    assert run.events()[-1].name == "done"
    assert not any("it had no message from the coordinator" in message for message in watching.messages)


def read(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read().decode()


def test_no_worker_is_left_E761(tmp_path, monkeypatch):
    config = launch._config
    monkeypatch.setattr(launch, "_config", lambda *a: replace(config(*a), no_worker_timeout=8.0))
    with separate_processes(tmp_path, 1) as (client, _, processes, _):
        watching = Watching(at={12: processes["worker-0"].kill})
        text = refusal(lambda: trained(tmp_path, client, watching, workers=2, steps=5000))
    assert text.startswith("error E761: no workers to go on with: none is left for 8 seconds")
    assert "worker-0 was lost once: unknown" in text
    assert f"lnetc resume {tmp_path / 'run'} --cluster" in text


def test_too_few_workers_to_begin_E761(tmp_path, client, monkeypatch):
    config = launch._config
    monkeypatch.setattr(launch, "_config", lambda *a: replace(config(*a), no_worker_timeout=2.0, workers=3))
    text = refusal(lambda: trained(tmp_path, client, Watching()))
    assert text.startswith("error E761: no workers to go on with: 2 of 3 have joined for 2 seconds")


def test_a_run_without_its_client_ends_with_a_checkpoint(tmp_path, client):
    scheduler = client.cluster.scheduler
    own = Client(client.scheduler_info(n_workers=0)["address"], set_as_default=False)
    watching = Watching(at={5: own.close})
    assert "error E763" in refusal(lambda: trained(tmp_path, own, watching, workers=2, steps=5000))
    deadline = time.monotonic() + 60
    while any(name.startswith("lnet-") for name in [*scheduler.plugins, *scheduler.worker_plugins]):
        assert time.monotonic() < deadline, "the run is still on the cluster"
        time.sleep(0.1)
    (step, *_) = reversed(lnet.open_run(tmp_path / "run").checkpoints.files())
    assert 0 < step < 5000


def test_a_run_that_is_over_leaves_nothing_behind(tmp_path, client):
    scheduler, heads = client.cluster.scheduler, []
    watching = Watching(
        at={
            5: lambda: heads.extend(p for p in scheduler.plugins.values() if isinstance(p, CoordinatorPlugin))
        }
    )
    trained(tmp_path, client, watching, workers=2, steps=10)
    assert not [name for name in [*scheduler.plugins, *scheduler.worker_plugins] if name.startswith("lnet-")]
    assert heads[0].done, "the coordinator goes on: its scheduler may end before its next tick"
    assert heads[0].timer.cancelled()


# --- disks and messages --------------------------------------------------------------------------------------------


class Spoiling(Watching):
    """Puts a file where a checkpoint is to be written, before the first step."""

    def __init__(self, run, number):
        super().__init__()
        self.run, self.number = run, number

    def started(self, step, steps):
        file = aside(self.run / "checkpoints", owner_of(self.run), self.number)
        file.parent.mkdir(exist_ok=True)
        file.touch()


def test_a_checkpoint_that_cannot_be_written_stops_nothing(tmp_path, client, expected):
    watching = Spoiling(tmp_path / "run", 3)
    run = trained(tmp_path, client, watching, **ASKED["asynchronous"], steps=60)
    (failed,) = [message for message in watching.messages if "could not be written" in message]
    assert failed.startswith("checkpoint 3 could not be written: ")
    steps = [event.step for event in run.events() if event.name == "checkpoint"]
    assert len(steps) == 5
    assert steps[-1] == 60
    assert_nothing_lost(run, expected)


def test_the_last_checkpoint_cannot_be_written_E731(tmp_path, client):
    watching = Spoiling(tmp_path / "run", 2)
    text = refusal(lambda: trained(tmp_path, client, watching, workers=2, steps=20))
    assert text.startswith("error E731: the last checkpoint, at step 20, could not be written")
    (step,) = lnet.open_run(tmp_path / "run").checkpoints.files()
    assert 10 <= step < 20
    assert f"hint: when it can be, go on from step {step}: lnetc resume " in text


def test_replies_that_are_lost(tmp_path, client, expected):
    watching = Striking(
        lambda: client.run(_lose_replies), until=lambda: all(client.run(_replies_lost).values())
    )
    try:
        run = trained(tmp_path, client, watching, **ASKED["asynchronous"])
    finally:
        client.run(_lose_no_more)
    assert_nothing_lost(run, expected)


def test_messages_in_small_parts(tmp_path, client, expected):
    cut = []

    def blow():
        cut.extend(client.run(_large_arrays).values())
        strike(client, watching.servers[0][0])

    client.run(_cut_messages, 2_000, 100)
    try:
        watching = Striking(blow, until=lambda: watching.told("is promoted"))
        run = trained(tmp_path, client, watching, **ASKED["synchronous"])
    finally:
        client.run(_cut_messages, parcels.PART, parcels.INLINE)
    assert min(cut) > 10
    assert_nothing_lost(run, expected, "synchronous")


def _cut_messages(part, inline):
    parcels.PART = outbox.PART = part
    outbox.INLINE = inline


def _large_arrays(dask_worker):
    """How many arrays the worker has sent in parts."""
    (host,) = [plugin for plugin in dask_worker.plugins.values() if isinstance(plugin, RolesPlugin)]
    return next(host.outbox.parcels)


def test_connections_that_are_closed(tmp_path, client, expected):
    closed = []
    watching = Striking(
        *[lambda: closed.extend(client.run(_close_connections).values())] * 3,
        every=10,
        until=lambda: sum(closed) > 0,
    )
    run = trained(tmp_path, client, watching, **ASKED["asynchronous"])
    assert_nothing_lost(run, expected)


def _lose_replies(dask_worker):
    """Let the reply to every tenth message to a worker be lost."""
    deliver = dask_worker.handlers[DELIVER]
    dask_worker.lnet_test = [deliver, 0]

    async def lossy(**content):
        dask_worker.lnet_test[1] += 1
        lost = dask_worker.lnet_test[1] % 10 == 0
        answer = await deliver(**content)
        if lost:
            raise OSError("the reply is lost")
        return answer

    dask_worker.handlers[DELIVER] = lossy


def _replies_lost(dask_worker):
    return dask_worker.lnet_test[1] // 10


def _lose_no_more(dask_worker):
    dask_worker.handlers[DELIVER] = dask_worker.lnet_test[0]


async def _close_connections(dask_worker):
    """Close the connections to other workers, used or not; return how many that were."""
    (host,) = [plugin for plugin in dask_worker.plugins.values() if isinstance(plugin, RolesPlugin)]
    comms = [line.comm for line in host.lines.lines]
    for comm in comms:
        comm.abort()
    return len(comms)


def test_messages_that_do_not_belong_are_refused(tmp_path, client, expected):
    answers, plan = [], plan_of(**ASKED["asynchronous"])

    def reasons():
        return "\n".join(event.reason for event in watching.logged("refused"))

    watching = Striking(
        lambda: answers.extend(Forger(client, watching.servers[0][0], plan).forge()),
        until=lambda: REASONS[-1] in reasons(),
    )
    run = trained(tmp_path, client, watching, **ASKED["asynchronous"])
    assert answers == ["taken"] * 27 + ["nobody"]
    assert [reason for reason in REASONS if reason not in reasons()] == []
    assert_nothing_lost(run, expected)
