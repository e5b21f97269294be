"""The protocol under seeded disorder: what is promised holds in every run, and fails without what makes it safe."""

import re

import pytest
from disorder import END, Disorder, among_a_hundred, disturbed, drained, slept, undisturbed
from fake_numerics import undisturbed_steps
from properties import Watch
from simulator import Cluster, Network, spec

from lnet.runtime.cluster.protocol.deaths import Cause
from lnet.runtime.cluster.protocol.events import COORDINATOR, StopRequested, WorkerExited, WorkerLost
from lnet.runtime.cluster.protocol.spec import Rules


def check(seed, rules=None, **settings):
    """Run a seed; its number is in the message of what fails."""
    try:
        watch, states = disturbed(seed, rules, **settings)
        if watch.cluster.spec.synchronous:
            expected = undisturbed(watch.cluster.spec)
            assert [state.fold for state in states] == [expected] * watch.cluster.spec.shards
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    return watch


@pytest.mark.parametrize("first", range(0, 100, 50))
def test_properties_hold(first):
    for seed in range(first, first + 50):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 400, 100))
def test_properties_hold_in_many_runs(first):
    for seed in range(first, first + 100):
        check(seed)


@pytest.mark.parametrize("staleness", [None, 0, 1, 4])
def test_an_undisturbed_run_refuses_no_payload(staleness):
    watch = Watch(losses_allowed=False)
    cluster = Cluster(0, spec(staleness=staleness, workers=3), 3, watch)
    assert cluster.run(30)
    states = watch.check_end()
    if staleness == 0:
        assert [state.fold for state in states] == [undisturbed_steps(2, 6)] * 2
    assert set(watch.refused) <= {
        "older than a heartbeat known",
        "older than the desired state obeyed",
        "based on a heartbeat that never came",
        "based on a desired state that never came",
        "a renewal of another desired state",
        "no such role here",
    }


@pytest.mark.parametrize("staleness", [None, 0, 4])
def test_a_run_that_is_stopped_ends_with_nothing_under_way(staleness):
    for seed in range(40):
        network = Network(loss=0.03, twice=0.05, late=0.04)
        cluster = Cluster(
            seed, spec(staleness=staleness, workers=3, batches=10**6), 4, Watch(), network=network
        )
        Disorder(cluster, 4, one_at_a_time=False)
        cluster.after(3.0, lambda c=cluster: c.tell(c.processes[COORDINATOR], StopRequested))
        assert cluster.run(END), f"seed {seed}: it goes on"
        manifest = cluster.finished.manifest
        if not any("could not be written" in what for _, what in cluster.watch.notes):
            assert not any(slot.leases for slot in manifest.slots), f"seed {seed}"


def test_a_seed_gives_the_same_trace():
    assert check(7).cluster.trace == check(7).cluster.trace
    assert check(7).cluster.trace != check(11).cluster.trace


# Each takes one thing away that makes the protocol safe: some seed has to show it.


@pytest.mark.parametrize(
    ("rules", "looks", "found"),
    [
        (
            Rules(fence=False),
            True,
            "answers after term",
        ),
        (Rules(dedupe=False), True, "applied twice|is made of"),
        (Rules(standby_ack=False), True, "called durable, and the standby has not got it"),
        (Rules(standby_ack=False), False, "acknowledged and lost"),
        (Rules(based=False), True, "did not finish"),
    ],
)
def test_without_it_a_property_fails(rules, looks, found):
    assert any(re.search(found, failure(seed, rules, looks_at_standby=looks)) for seed in range(300))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(0, 4, 1))
def test_properties_hold_among_a_hundred_workers(seed):
    watch, states = among_a_hundred(seed)
    if watch.cluster.spec.synchronous:
        assert [state.fold for state in states] == [undisturbed_steps(4, 10)] * watch.cluster.spec.shards


def leaving(seed, rules=None):
    """Return what the run of a seed violates in which workers are drained and many messages lost, or nothing."""
    try:
        drained(seed, rules)
    except AssertionError as error:
        return f"seed {seed}: {error}"
    return ""


def test_properties_hold_while_workers_are_drained():
    for seed in range(40):
        assert not leaving(seed)


def test_with_renewals_of_any_desired_state_two_primaries_answer():
    found = (leaving(seed, Rules(exact_renewal=False)) for seed in range(450, 550))
    assert any("answers after term" in failure for failure in found)


def test_a_nanny_that_takes_a_living_process_for_dead_makes_two_primaries():
    def found(seed):
        watch = Watch()
        cluster = Cluster(seed, spec(workers=3, batches=40), 3, watch)
        cluster.run(2.0)
        victim, head = cluster.table.shards[0].primary, cluster.processes[COORDINATOR]
        cluster.tell(head, WorkerLost, victim)
        cluster.tell(head, WorkerExited, victim, victim, Cause(), True)
        try:
            cluster.run(END)
        except AssertionError as error:
            return str(error)
        return ""

    assert any("answers after term" in found(seed) for seed in range(20))


def asleep(seed, counts_sleep=True):
    """Return what the run of a seed violates in which machines sleep, or nothing."""
    try:
        watch, states = slept(seed, counts_sleep)
        if watch.cluster.spec.synchronous:
            expected = undisturbed(watch.cluster.spec)
            assert [state.fold for state in states] == [expected] * watch.cluster.spec.shards
    except AssertionError as error:
        return f"seed {seed}: {error}"
    return ""


def test_properties_hold_where_machines_sleep():
    for seed in range(60):
        assert not asleep(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(60, 260, 100))
def test_properties_hold_in_many_runs_where_machines_sleep(first):
    for seed in range(first, first + 100):
        assert not asleep(seed)


def test_with_a_clock_that_stands_still_in_suspend_a_property_fails():
    assert any("answers after term" in asleep(seed, counts_sleep=False) for seed in range(300))


def failure(seed, rules, **settings):
    """Return what a seed's run violates, or nothing."""
    try:
        check(seed, rules, **settings)
    except AssertionError as error:
        return str(error)
    return ""
