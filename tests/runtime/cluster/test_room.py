"""Roles are given only where the plan's bytes for them fit under 0.9 of a worker's memory."""

from dataclasses import replace

import pytest
from properties import Watch
from simulator import Cluster, spec

from lnet.runtime.cluster.protocol import room, staffing
from lnet.runtime.cluster.protocol.messages import WorkerMemory
from lnet.runtime.cluster.protocol.records import Records
from lnet.runtime.cluster.protocol.spec import Need
from lnet.runtime.cluster.protocol.table import Member, ServerPair, Slot, Table

TILE, SERVER = 1000, 100


def member(free, held=0, limit=None, pool="here"):
    return Member("host", "place", 9, memory=WorkerMemory(pool, free, held, limit))


def table(*slots, **members):
    asked = spec(replicas=len(slots), tiles=1, needs=(Need(TILE, SERVER),), durability="single")
    shards = (ServerPair(primary="a"),)
    slots = tuple(Slot((name,)) for name in slots)
    return Table(asked, slots, shards, members=Records(members), begun=True).indexed()


def missing(table, worker, more):
    return room.missing(table, room.pools(table), worker, more)


@pytest.mark.parametrize(
    ("memory", "more", "expected"),
    [
        (member(2000), TILE, 0),
        (member(1111), 900, 0),  # 0.9 x 1,111 = 999.9 for 100 + 900
        (member(1111), 899, 0),
        (member(1000), TILE, 200),
        (member(10**6, limit=1000), TILE, 200),
        (member(800, held=1000), TILE, 0),  # what it holds is what its roles took
    ],
)
def test_what_is_missing(memory, more, expected):
    found = missing(table(None, a=memory), "a", more)
    assert found == expected or (expected == 0 and found <= 1)


def test_what_several_share_is_shared():
    both = table("a", None, a=member(1500), b=member(1500))
    assert missing(both, "b", TILE) == 1000 + 100 + 1000 - 1350
    apart = table("a", None, a=member(1500), b=member(1500, pool="there"))
    assert missing(apart, "b", TILE) == 0


def test_who_says_nothing_has_room_for_everything():
    silent = replace(member(0), memory=None)
    assert missing(table(None, a=silent), "a", 10**15) == 0


# --- in the simulator ------------------------------------------------------------------------------------------------

FITS_ONE = int((TILE + 2 * SERVER) / room.SHARE) + 10
"""A tile with a primary and a standby, and no second tile."""


def cluster(limit, workers=2, seed=0, **settings):
    asked = {"replicas": 2, "tiles": 1, "batches": 200, "needs": (Need(TILE, SERVER),), "workers": workers}
    memory = WorkerMemory("", 10**9, 0, limit)
    return Cluster(seed, spec(**asked | settings), workers, Watch(), memory=memory)


def heaviest(run):
    """Follow a run; return the most tiles that a worker was ever given at once."""
    most = [0]

    def look():
        tiles = [name for slot in run.table.slots for name in slot.tiles if name is not None]
        most[0] = max([most[0], *(tiles.count(name) for name in tiles)])
        run.after(0.01, look)

    run.after(0.0, look)
    return most


@pytest.mark.parametrize("staleness", [None, 0])
def test_a_worker_that_is_lost_does_not_overload_the_next(staleness):
    for seed in range(5):
        run = cluster(FITS_ONE, seed=seed, staleness=staleness, durability="single")
        most = heaviest(run)
        run.after(3.0, lambda run=run: run.crash(run.workers()[0], noticed=True))
        assert run.run(120), f"seed {seed}: {run.watch.notes[-9:]}"
        assert most == [1], f"seed {seed}"
        assert any("bytes of memory are missing" in what for _, what in run.watch.notes) or run.lapsed


def test_without_the_rule_it_does(monkeypatch):
    monkeypatch.setattr(room, "missing", lambda table, pools, worker, more: 0)
    with pytest.raises(AssertionError, match="seed"):
        test_a_worker_that_is_lost_does_not_overload_the_next(None)


def test_the_replica_comes_back_with_the_worker():
    run = cluster(FITS_ONE, batches=10**6)
    run.after(3.0, lambda: run.crash(run.workers()[0], noticed=True))
    run.after(8.0, run.join, 0)
    run.run(20)
    assert all(slot.staffed and slot.short == 0 for slot in run.table.slots)
    (lapsed,) = run.lapsed
    assert lapsed.missing > 0


def test_where_nothing_fits_the_run_says_what_is_missing():
    run = cluster(TILE)
    run.run(20)
    assert not any(slot.staffed for slot in run.table.slots)
    needed = TILE + SERVER - int(room.SHARE * TILE)
    assert room.short(run.table) == needed
    waits = [what for _, what in run.watch.notes if "waits" in what]
    assert waits == [
        f"replica {i} waits: {needed:,} bytes of memory are missing for its tiles" for i in (0, 1)
    ]
    assert dict(room.rooms(run.table)).popitem()[1] == int(room.SHARE * TILE)


def without_standby():
    """Four workers, each with room for a tile or a server; the one is lost that had the standby that all wait for."""
    run = cluster(int(TILE / room.SHARE) + SERVER // 2, workers=4, batches=10**6)
    run.run(5)
    assert all(slot.staffed for slot in run.table.slots)
    run.crash(run.processes[run.table.shards[0].standby], noticed=True)
    run.run(15)
    used = run.table.pool.used
    run.run(20)
    return run, run.table.pool.used - used


def test_a_replica_makes_room_for_a_standby_that_all_wait_for():
    run, steps = without_standby()
    assert [slot.staffed for slot in run.table.slots] == [True, False]
    assert run.table.shards[0].ready
    assert steps > 10


def test_without_that_nobody_makes_a_step(monkeypatch):
    monkeypatch.setattr(staffing, "_make_room", lambda table: (table, ()))
    run, steps = without_standby()
    assert steps == 0
    assert room.short(run.table) > 0
