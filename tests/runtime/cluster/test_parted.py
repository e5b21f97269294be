"""Links between workers that are really cut, in network namespaces, while both ends reach the scheduler."""

import os
import time
from contextlib import contextmanager
from itertools import pairwise

import pytest
from namespaces import Training, allowed, mesh

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("LNET_NAMESPACES") != "required" and not allowed(),
        reason="network namespaces need root and ip",
    ),
]
BOUND = 20.0
"""Seconds in which each replica must have made a step: 10, and as much again on a machine that does other things."""


@contextmanager
def training(tmp_path, workers, **settings):
    layout = {"workers": workers, "replicas": 2, "tiles": "1x2"}
    with mesh(workers) as net, Training(net, tmp_path, **settings).begun(**layout) as run:
        yield net, run


def tile_and_tile(roles):
    return tuple(roles["replicas"][0]["workers"])


def tile_and_primary(roles):
    """A tile and its primary that have nothing else to do with each other, as far as there are such."""
    pairs = [
        (worker, shard["primary"])
        for replica in roles["replicas"]
        for worker, shard in zip(replica["workers"], roles["shards"], strict=True)
        if worker != shard["primary"]
    ]
    together = [set(replica["workers"]) for replica in roles["replicas"]]
    return min(pairs, key=lambda pair: (set(pair) in together, pair))


def primary_and_standby(roles):
    return roles["shards"][0]["primary"], roles["shards"][0]["standby"]


def longest_wait(run, since):
    """The longest time that any replica has stood still since then, until now."""
    until = time.time()
    run.read()
    times = [[since, *(t for t in run.steps(r) if t > since), until] for r in range(run.replicas)]
    return max(later - earlier for steps in times for earlier, later in pairwise(steps))


@pytest.mark.parametrize(
    ("how", "whose"),
    [
        ("both_ways", tile_and_primary),
        pytest.param("both_ways", primary_and_standby, marks=pytest.mark.long),
        ("one_way", tile_and_tile),
        pytest.param("one_way", tile_and_primary, marks=pytest.mark.long),
        pytest.param("large_packets", tile_and_tile, marks=pytest.mark.long),
        ("large_packets", primary_and_standby),
        ("reset", tile_and_tile),
    ],
)
def test_roles_keep_off_a_link_that_is_cut(tmp_path, how, whose):
    with training(tmp_path, 4) as (net, run):
        run.wait(lambda: all(shard["ready"] for shard in run.roles()["shards"]), 60)
        a, b = whose(run.roles())
        getattr(net, how)(a, b)
        cut = time.time()
        run.wait(lambda: run.noted("do not reach each other", cut), 60)
        time.sleep(BOUND / 2)
        assert longest_wait(run, cut) < BOUND
        (noted,) = run.noted("do not reach each other", cut)
        assert {a, b} == set(noted.split(" do not")[0].split(" and "))
        assert not run.noted("is lost", cut)


def test_workers_that_are_reached_by_a_name(tmp_path):
    with training(tmp_path, 2, by_name=True) as (_, run):
        assert set(run.roles()["replicas"][0]["workers"]) == {"w0", "w1"}


def test_a_name_that_is_not_found_any_more(tmp_path):
    """It is enough that one of the two finds the other. Connections that there are would last, so they are closed."""
    with training(tmp_path, 3, by_name=True) as (net, run):
        a, b = tile_and_tile(run.roles())
        cut = time.time()
        net.forget(a, b)
        run.close_connections()
        before = len(run.steps(0))
        run.wait(lambda: len(run.steps(0)) > before + 20, 60)
        assert not run.noted("do not reach each other", cut)
        net.forget(b, a)
        run.close_connections()
        run.wait(lambda: run.noted("do not reach each other", cut), 60)
        run.wait(lambda: not together(run.roles(), a, b), 60)
        time.sleep(BOUND / 2)
        assert longest_wait(run, cut) < BOUND


def test_a_worker_is_used_again_when_its_link_is_mended(tmp_path):
    with training(tmp_path, 3) as (net, run):
        a, b = tile_and_tile(run.roles())
        net.both_ways(a, b)
        cut = time.time()
        run.wait(lambda: run.noted("do not reach each other", cut), 60)
        run.wait(lambda: not together(run.roles(), a, b), 60)
        assert longest_wait(run, cut) < BOUND
        net.mend(a, b)
        run.wait(lambda: run.noted("may be given roles that need each other again", cut), 120)
        workers = {a, b}
        run.wait(lambda: all(any(w in r["workers"] for r in run.roles()["replicas"]) for w in workers), 120)
        mended = time.time()
        time.sleep(BOUND / 2)
        assert longest_wait(run, mended) < BOUND


def together(roles, a, b):
    return any({a, b} <= set(replica["workers"]) for replica in roles["replicas"])
