"""When a run is given up because its processes end again and again: the rule, and the coordinator in the simulator."""

from dataclasses import replace

import pytest
from properties import Watch
from simulator import TIMES, Cluster, spec

from lnet.runtime.cluster.actors.roles import lost_workers
from lnet.runtime.cluster.protocol import coordinator, deaths, events
from lnet.runtime.cluster.protocol.deaths import Cause, Death
from lnet.runtime.cluster.protocol.table import BatchPool, ServerPair, Slot, Table

FUTILITY = 8.0
"""Five times the simulator's silence; a run's own is ten times its."""


def dying(seed=0, workers=2, after=0.3, back=0.5, until=lambda cluster: False, **settings):
    """A cluster in which every worker ends soon after it was given a tile, and comes back, until something holds."""
    times = replace(TIMES, no_progress_timeout=FUTILITY)
    cluster = Cluster(seed, spec(times=times, workers=workers, **settings), workers, Watch())

    def watch():
        for worker in cluster.workers():
            if worker.state.tiles and worker.name not in doomed and not until(cluster):
                doomed.add(worker.name)
                cluster.after(after * cluster.random.uniform(0.5, 1), end, worker)
        cluster.after(0.05, watch)

    def end(worker):
        if worker.alive:
            cluster.crash(worker, noticed=True)
            cluster.after(back, cluster.join, int(worker.host.removeprefix("host")))

    doomed = set()
    cluster.after(0.1, watch)
    return cluster


@pytest.mark.parametrize("staleness", [None, 0, 1])
@pytest.mark.parametrize("tiles", [1, 2])
def test_a_run_whose_workers_end_at_their_first_step_is_given_up(staleness, tiles):
    for seed in range(4):
        cluster = dying(seed, after=0.02, staleness=staleness, tiles=tiles)
        cluster.run(60)
        assert cluster.given_up is not None, f"seed {seed}"
        at, given_up = cluster.given_up
        assert given_up.seconds >= FUTILITY
        assert at < 3 * FUTILITY
        assert len(given_up.deaths) >= deaths.ENOUGH
        assert {death.address.partition(".")[0] for death in given_up.deaths} == {"w0", "w1"}


def test_one_that_had_steps_and_can_make_none_any_more_is_given_up():
    cluster = dying(after=0.02, batches=10**6, until=lambda cluster: cluster.time < 8)
    cluster.run(60)
    at, _ = cluster.given_up
    assert cluster.table.pool.used > 10
    assert 8 + 0.9 * FUTILITY <= at < 8 + 3 * FUTILITY  # by a clock that may run slower or faster


@pytest.mark.parametrize("staleness", [None, 0, 1])
def test_what_there_is_is_saved_before_a_run_is_given_up(staleness):
    """From 7 s on no step is done, and who has the tile ends after 2 to 4 s: there is time for another copy of the shard."""
    for seed in range(4):
        settings = {"batches": 10**6, "replicas": 1, "tiles": 1, "staleness": staleness}
        cluster = dying(seed, workers=4, after=4.0, until=lambda cluster: cluster.time < 7, **settings)
        cluster.after(7.0, setattr, cluster, "_meet", lambda key: None)
        cluster.run(60)
        assert cluster.given_up is not None, f"seed {seed}"
        assert not cluster.watch.losses
        assert not cluster.watch.rollbacks
        manifest = cluster.manifests[-1]
        assert manifest.used == cluster.table.pool.used > 10, f"seed {seed}"
        assert manifest.step == (cluster.table.committed if staleness == 0 else None)


def test_without_a_copy_left_a_run_is_given_up_too():
    """The only worker ends: there is nobody who could save anything."""
    cluster = dying(workers=1, replicas=1, after=0.02, batches=10**6, until=lambda cluster: cluster.time < 7)
    cluster.run(60)
    assert cluster.given_up is not None


@pytest.mark.parametrize("every", [0, 4])
def test_steps_that_are_always_lost_before_a_checkpoint_are_no_progress(every):
    """A synchronous run whose workers all end every few seconds: computed anew, the same steps forget nothing."""
    times = replace(TIMES, no_progress_timeout=FUTILITY)
    settings = {"workers": 2, "batches": 10**6, "staleness": 0, "checkpoint": every}
    cluster = Cluster(0, spec(times=times, **settings), 2, Watch())

    def strike():
        for worker in cluster.workers():
            cluster.crash(worker, noticed=True)
            cluster.after(0.3, cluster.join, int(worker.host.removeprefix("host")))
        cluster.after(3.0, strike)

    cluster.after(3.0, strike)
    cluster.run(20 * FUTILITY)
    assert (cluster.given_up is None) == bool(cluster.manifests), (
        "it is given up where no checkpoint saves its steps"
    )
    assert bool(cluster.manifests) == bool(every)


def test_workers_that_end_for_less_time_than_that_are_forgiven():
    cluster = dying(after=0.02, until=lambda cluster: cluster.time > 0.8 * FUTILITY)
    assert cluster.run(90), "the run did not finish"
    assert cluster.given_up is None


@pytest.mark.parametrize("staleness", [None, 0])
def test_workers_killed_between_steps_end_no_run(staleness):
    """One every second or so, for five times as long as is needed to give up a run without steps."""
    for seed in range(4):
        times = replace(TIMES, no_progress_timeout=FUTILITY)
        cluster = Cluster(seed, spec(times=times, workers=3, batches=10**6, staleness=staleness), 4, Watch())

        def strike(cluster=cluster):
            if cluster.time < 5 * FUTILITY:
                victim = cluster.random.choice(cluster.workers())
                cluster.crash(victim, noticed=cluster.random.random() < 0.5)
                cluster.after(0.5, cluster.join, int(victim.host.removeprefix("host")))
                cluster.after(1.0 + cluster.random.random() * 3, strike)

        cluster.after(3.0, strike)
        cluster.run(7 * FUTILITY)
        assert cluster.given_up is None, f"seed {seed}: {cluster.given_up}"
        assert cluster.table.pool.used > 20


def test_without_forgetting_a_run_with_steps_would_be_given_up(monkeypatch):
    """The negative control of the test before: some seed shows what a finished step is for."""
    monkeypatch.setattr(deaths, "forgotten", lambda before, after: after)
    with pytest.raises(AssertionError, match="seed"):
        test_workers_killed_between_steps_end_no_run(None)


# --- the rule --------------------------------------------------------------------------------------------------------


def table(*found, staffed=True, **changed):
    slot = Slot(("a#1",) if staffed else (None,))
    asked = spec(replicas=1, tiles=1, times=replace(TIMES, no_progress_timeout=60.0))
    return Table(asked, (slot,), (ServerPair(),), deaths=tuple(found), **changed).indexed()


UNKNOWN = Cause()


def died(at, place="a", cause=UNKNOWN, address="tcp://10.0.0.1:1"):
    return Death(address, place, at, cause)


@pytest.mark.parametrize(
    ("times", "staffed", "now", "expected"),
    [
        ((0, 1, 2), True, 100, False),  # a burst, and somebody computes: a step may take long
        ((0, 1, 2), False, 59, False),
        ((0, 1, 2), False, 60, True),
        ((0, 30, 59), True, 59, False),
        ((0, 30, 60), True, 60, True),
        ((0, 90), False, 90, False),  # two are too few, whatever the time
        ((0, 90, 180), True, 180, True),  # "whichever is later"
    ],
)
def test_three_deaths_or_a_minute_whichever_is_later(times, staffed, now, expected):
    found = [died(at, cause=Cause("exit", 1)) for at in times]
    assert deaths.hopeless(table(*found, staffed=staffed), now) == expected


def test_a_death_whose_cause_is_not_told_counts_a_little_later():
    found = [died(0), died(30), died(60)]
    assert not deaths.hopeless(table(*found), 60 + 9 * TIMES.heartbeat_interval)
    assert deaths.hopeless(table(*found), 60 + 10 * TIMES.heartbeat_interval)


def test_a_finished_step_forgets_them_and_one_that_is_computed_again_does_not():
    before = deaths.rolled_back(table(died(0), reached=3, pool=BatchPool(used=1)))
    again = deaths.forgotten(before, replace(before, pool=BatchPool(used=2)))
    assert (again.deaths, again.rollback_deaths, again.rollbacks) == ((), (died(0),), 1)
    further = deaths.forgotten(before, replace(before, pool=BatchPool(used=4)))
    assert (further.deaths, further.rollback_deaths, further.rollbacks, further.reached) == ((), (), 0, 4)
    less = replace(before, pool=BatchPool(used=0))
    assert deaths.forgotten(before, less) == less


def test_a_step_that_is_done_while_it_is_saved_saves_the_run():
    found = [died(at, cause=Cause("exit", 1)) for at in (0, 30, 60)]
    saving, said = coordinator._give_up(table(*found, begun=True, pool=BatchPool(used=4), reached=4), 61.0)
    assert (saving.hopeless_since, said) == (61.0, ())
    assert saving.pending is not None
    stepped = deaths.forgotten(saving, replace(saving, pool=BatchPool(used=5)))
    again, said = coordinator._give_up(stepped, 62.0)
    assert (again.hopeless_since, again.given_up, said) == (None, False, ())


def test_a_checkpoint_that_is_never_written_does_not_keep_a_run():
    found = [died(at, cause=Cause("exit", 1)) for at in (0, 30, 60)]
    saving, _ = coordinator._give_up(table(*found, begun=True, pool=BatchPool(used=4)), 61.0)
    waiting, said = coordinator._give_up(saving, 61.0 + TIMES.grace_period)
    assert (waiting.given_up, said) == (False, ())
    given_up, (said,) = coordinator._give_up(waiting, 61.1 + TIMES.grace_period)
    assert given_up.given_up
    assert (said.deaths, said.seconds) == (tuple(found), 61.0)


def test_steps_that_are_lost_without_a_death_are_no_progress_either():
    """Workers that drain are no deaths, and may take both copies of a shard with them."""
    given_up, (said,) = coordinator._give_up(table(rollbacks=deaths.ROLLBACKS), 5.0)
    assert given_up.given_up
    assert (said.deaths, said.seconds, said.rollbacks) == ((), 0.0, deaths.ROLLBACKS)


def test_a_death_counts_once_whoever_tells_first():
    address, cause = "tcp://10.0.0.1:1", Cause("signal", 9)
    first = deaths.lost(table(), f"{address}#x", "a", 1.0)
    assert deaths.explained(first, address, "a", cause, 1.1).deaths == (died(1.0, cause=cause),)
    first = deaths.explained(table(), address, "a", cause, 1.0)
    assert deaths.lost(first, f"{address}#x", "a", 1.1).deaths == (died(1.0, cause=cause),)
    again = deaths.lost(deaths.lost(first, address, "a", 1.1), f"{address}#y", "a", 5.0)
    assert [death.at for death in again.deaths] == [1.0, 5.0]


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (Cause("memory", 272_629_760), "over its memory limit of 272,629,760 bytes"),
        (Cause("signal", 9), "signal 9 (SIGKILL)"),
        (Cause("signal", 39), "signal 39"),
        (Cause("exit", 3), "exit 3"),
        (Cause("import", line="ImportError: no libgomp"), "import error: ImportError: no libgomp"),
        (Cause("error", line="OSError: no space"), "start-up error: OSError: no space"),
        (Cause(), "unknown"),
    ],
)
def test_causes_in_words(cause, text):
    assert list(lost_workers((died(0, "w", cause),))) == [f"w was lost once: {text}"]


def test_workers_are_told_one_a_line():
    found = [died(0, "a"), died(1, "b", Cause("exit", 1)), died(2, "a", Cause("exit", 1)), died(3, "a")]
    assert list(lost_workers(tuple(found))) == [
        "a was lost 3 times: unknown (2 times), exit 1",
        "b was lost once: exit 1",
    ]


def test_what_is_said_twice_of_an_end_changes_nothing():
    cluster = dying(after=0.02)
    cluster.after(
        1.0, cluster.tell, cluster.processes[events.COORDINATOR], events.WorkerExited, "x", "x", Cause()
    )
    cluster.run(60)
    assert cluster.given_up is not None
