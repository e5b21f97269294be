"""Roles come back to workers that came back: one at a time, after a while, and never at the price of a copy."""

from dataclasses import replace

import pytest
from disorder import disturbed
from properties import Watch
from simulator import TIMES, Cluster, spec


def notes(watch, words):
    return [what for _, what in watch.notes if words in what]


def balanced(**settings):
    """A run on three workers of which two die at once, and come back."""
    watch = Watch()
    cluster = Cluster(3, spec(workers=3, replicas=1, batches=60, **settings), 3, watch)
    cluster.after(1.0, lambda: [cluster.crash(victim, noticed=True) for victim in cluster.workers()[1:]])
    for host in (1, 2):
        cluster.after(1.5, cluster.join, host)
    return watch, cluster


@pytest.mark.parametrize("staleness", [None, 0])
def test_workers_that_came_back_get_their_share(staleness):
    watch, cluster = balanced(staleness=staleness)
    cluster.run(12)
    slot, shards = cluster.table.slots[0], cluster.table.shards
    assert len(set(slot.tiles)) == 2
    assert len({shard.primary for shard in shards}) == 2
    assert len(notes(watch, "the primary of")) == 1
    assert cluster.run(90)
    watch.check_end()


def test_no_primary_moves_where_its_successor_would_acknowledge_alone():
    watch, cluster = balanced(durability="single")
    assert cluster.run(90)
    assert len(notes(watch, "evenly")) == 1
    assert not notes(watch, "the primary of")
    watch.check_end()


def test_a_tile_stays_where_the_plan_wants_it():
    watch = Watch(losses_allowed=False)
    places = ((0, 0, "w0.1"), (0, 1, "w0.1"))
    cluster = Cluster(0, spec(workers=1, replicas=1, batches=60, prefer=places), 1, watch)
    cluster.after(0.5, cluster.join, 1)
    assert cluster.run(60)
    assert not notes(watch, "evenly")


@pytest.mark.parametrize("planned", [True, False])
def test_a_tile_moves_to_its_place_after_a_failure_timeout_and_elsewhere_after_a_grace_period(planned):
    times = replace(TIMES, grace_period=8.0)
    watch, places = Watch(losses_allowed=False), ((0, 1, "w1.2"),) if planned else ()
    settings = {"workers": 1, "replicas": 1, "batches": 10**6, "prefer": places, "times": times}
    cluster = Cluster(0, spec(**settings), 1, watch)
    cluster.after(0.5, cluster.join, 1)
    cluster.run(20)
    moved = [at for at, what in watch.notes if "evenly" in what and "replica" in what]
    settled = max(at for at, what in watch.notes if "joins" in what or "is ready" in what)
    expected = times.failure_timeout if planned else times.grace_period
    assert moved[0] - settled == pytest.approx(expected, abs=2 * times.heartbeat_interval)


def test_no_move_while_workers_come_and_go():
    watch, cluster = balanced()
    for moment in range(2, 12):
        cluster.after(moment * 0.8, cluster.join, 2 + moment)
    cluster.run(8)
    assert not notes(watch, "evenly")


def test_properties_hold_while_primaries_move():
    moved = 0
    for seed in range(40):
        watch, _ = disturbed(seed, tiles=4, durability="standby")
        moved += len(notes(watch, "the primary of"))
    assert moved > 5
