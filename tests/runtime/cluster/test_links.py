"""Links between workers that are cut in the simulator: no replica stands still for long, and roles hardly move."""

import re

import pytest
from parted import KINDS, TIMES, WAYS, Parting, grid, halted, needed_links, parted, tried
from simulator import Cluster, Network, spec

from lnet.runtime.cluster.protocol.spec import Rules, Times
from lnet.runtime.cluster.transport import reach
from lnet.runtime.cluster.transport.reach import Reach


def settings_of(seed):
    """How a seed's run goes together, and how many of its links are cut."""
    return {"staleness": (None, 0, 4)[seed // 4 % 3], "links": 1 + seed // 12 % 3}


def check(seed, run=parted, **settings):
    try:
        return run(seed, **settings)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("first", range(0, 24, 4))
def test_each_replica_steps_whatever_links_are_cut(first):
    for seed in range(first, first + 4):
        check(seed, until=45.0, **settings_of(seed))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(24, 48, 12))
def test_each_replica_steps_in_many_runs(first):
    for seed in range(first, first + 12):
        check(seed, **settings_of(seed))


@pytest.mark.slow
def test_each_replica_steps_among_forty_workers():
    for seed in range(4):
        check(seed, workers=40, replicas=5, tiles=6, links=4, until=24.0)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
def test_each_replica_steps_in_the_published_layout(way):
    """Two links of each kind are cut among 845 workers and a spare for each link."""
    layout = {"replicas": 5, "tiles": 169, "partners": grid(13, 13), "shards_per_tile": 1}
    times = Times.for_workers(5 * 169 + 2 * len(KINDS))
    settings = {"way": way, "kinds": KINDS, "links": 2, "times": times, "slowly": (2,), "until": 26.0}
    watch, cut = check(WAYS.index(way), **settings, **layout)
    assert len(cut) == 2 * len(KINDS)
    assert watch.suspected


ROW = ((1,), (0, 2), (1, 3), (2,))
"""Four tiles, each of which exchanges with those beside it."""


@pytest.mark.parametrize("first", range(0, 12, 4))
def test_each_replica_steps_if_tiles_exchange_with_some_others_alone(first):
    for seed in range(first, first + 4):
        check(seed, until=45.0, tiles=4, partners=ROW, **settings_of(seed))


def test_links_that_no_role_needs_are_not_noticed():
    """The outer tiles of a row on four workers do not exchange: nobody asks whether they could."""
    for seed in range(4):
        watch = Parting()
        rows = spec(replicas=1, tiles=4, partners=ROW, batches=10**6, times=TIMES)
        cluster = Cluster(seed, rows, 4, watch, Rules(), Network(), capacity=1)
        cluster.run(10.0)
        names = {process.name for process in cluster.workers()}
        needed = needed_links(cluster.table)
        unused = {(a, b) for a in names for b in names if a < b} - needed
        assert unused
        cluster.network.cut |= unused | {(b, a) for a, b in unused}
        cluster.run(18.0)  # later, roles may move to where they need others
        watch.check_suspicions(())
        watch.check_steps(10.0, 18.0)


def test_a_link_that_stays_cut_is_tried_ever_more_seldom():
    for seed in range(4):
        check(seed, tried)


def test_a_worker_that_stands_still_makes_no_link_suspect():
    for seed in range(12):
        check(seed, halted)


# Each takes away what lets replicas go on: some seed has to show it.


@pytest.mark.parametrize(
    ("rules", "run", "found"),
    [
        (Rules(part_tiles=False), parted, "stood still"),
        (Rules(part_servers=False), parted, "stood still"),
        (Rules(hear_both=False), halted, "suspected without a reason"),
    ],
)
def test_without_it_a_property_fails(rules, run, found):
    assert any(re.search(found, failure(seed, run, rules=rules)) for seed in range(40))


def test_without_sizes_a_link_that_drops_large_packets_is_not_noticed(monkeypatch):
    monkeypatch.setattr(reach, "LIGHT", 10**9)
    assert any("stood still" in failure(seed, way="narrow", until=30.0) for seed in range(16))


def failure(seed, run=parted, **settings):
    """Return what a seed's run violates, or nothing."""
    try:
        run(seed, **settings)
    except AssertionError as error:
        return str(error)
    return ""


# --- what a process says of its peers ------------------------------------------------------------------------------


def test_a_peer_that_takes_nothing_is_named_after_a_while():
    found = Reach(3.0)
    found.begun("a", 10_000, 0.0)
    found.begun("b", 10_000, 1.0)
    assert found.unreachable(2.9) == ()
    assert found.unreachable(3.0) == ("a",)
    assert found.unreachable(4.0) == ("a", "b")
    found.taken("a", 10_000, 4.1)
    assert found.unreachable(4.2) == ("b",)


def test_what_is_taken_vouches_for_what_is_as_light():
    found = Reach(3.0)
    found.begun("a", 10_000, 0.0)
    found.begun("a", 0, 2.0)
    found.taken("a", 0, 2.1)
    assert found.unreachable(3.0) == ("a",)
    found.begun("a", 0, 3.0)
    found.begun("a", 20_000, 3.0)
    found.taken("a", 20_000, 4.0)
    assert found.unreachable(6.9) == ()


def test_one_failure_may_be_a_closed_connection():
    found = Reach(3.0)
    found.begun("a", 0, 0.0)
    found.failed("a", 0, 0.1)
    assert found.unreachable(5.0) == ()
    found.begun("a", 0, 5.0)
    assert found.unreachable(5.1) == ()
    found.failed("a", 0, 5.2)
    assert found.unreachable(8.1) == ("a",)
    assert found.unreachable(15.3) == ()


def test_peers_that_are_needed_are_asked_after_a_beat_of_silence():
    found = Reach(3.0)
    assert found.quiet(["a", "b"], 0.5, 0.0) == ["a", "b"]
    found.begun("a", 10_000, 0.0)
    found.taken("a", 10_000, 0.1)
    found.begun("b", 10_000, 0.0)
    assert found.quiet(["a", "b"], 0.5, 0.4) == []
    assert found.quiet(["a", "b"], 0.5, 0.6) == ["a"]
    assert found.quiet(["a", "b"], 0.5, 1.6) == ["a", "b"]
    assert found.quiet(["b"], 0.5, 1.7) == ["b"]


def test_a_wait_begins_anew_with_every_part_that_is_taken():
    found = Reach(3.0)
    found.begun("a", 10_000, 0.0)
    for second in range(1, 20):
        found.begun("a", 10_000, second)
        found.taken("a", 10_000, second)
        assert found.unreachable(second + 0.5) == ()
