"""Which roles move when links are suspected: the coordinator's passes alone, on tables of any size."""

from collections import Counter
from dataclasses import replace
from math import inf
from random import Random

import pytest
from parted import MOVES, TIMES, needed_links

from lnet.runtime.cluster.protocol import coordinator, links, servers, staffing
from lnet.runtime.cluster.protocol.messages import Heartbeat
from lnet.runtime.cluster.protocol.records import Records
from lnet.runtime.cluster.protocol.server_choice import ServerChoice
from lnet.runtime.cluster.protocol.spec import Rules, Spec
from lnet.runtime.cluster.protocol.table import Contact, Member, ServerPair, Slot, Table


def table_of(workers, replicas, tiles, capacity=1, partners=()):
    """A table of a run that has settled: on the first of so many workers, replica after replica."""
    spec = Spec("run", replicas, tiles, batches=10**6, workers=workers, partners=partners, times=TIMES)
    members = {f"w{i:04}": Member(f"host{i}", "", capacity) for i in range(workers)}
    contacts = dict.fromkeys(members, Contact(1, 0.0, 0.0, -100.0))
    names = list(members)
    slots = tuple(Slot(tuple(names[r * tiles + t] for t in range(tiles)), 1) for r in range(replicas))
    shards = tuple(
        ServerPair(1, 1, names[t], standby=names[(t + 1) % workers], ready=True, blank=False)
        for t in range(tiles)
    )
    return Table(
        spec,
        slots,
        shards,
        members=Records(members),
        contacts=Records(contacts),
        lease_ends=(-inf,) * tiles,
        begun=True,
    ).indexed()


def settled(table, now):
    """Let the passes do what they can, with standbys ready at once and leases over in time."""
    for _ in range(6):
        before = table
        table, _ = links.relent(table, now)
        table, _ = staffing.staff(table, now)
        table, _ = servers.repair(table, now)
        for index, shard in enumerate(table.shards):
            table = table.with_shard(index, replace(shard, ready=shard.standby is not None, reserve=None))
        if table == before:
            break
        now += TIMES.until_expired
    return table


def suspecting(table, a, b, now=0.0):
    contacts = {name: replace(contact, heard=now) for name, contact in table.contacts.items()}
    return links.suspect(replace(table, contacts=Records(contacts)), now, a, (b,))[0]


def roles(table):
    tiles = {(s, t): name for s, slot in enumerate(table.slots) for t, name in enumerate(slot.tiles)}
    primaries = {("primary", i): shard.primary for i, shard in enumerate(table.shards)}
    return tiles | primaries | {("standby", i): shard.standby for i, shard in enumerate(table.shards)}


@pytest.mark.parametrize(
    ("workers", "replicas", "tiles", "count"), [(12, 2, 4, 4), (30, 5, 4, 10), (1000, 5, 169, 8)]
)
def test_no_role_needs_a_suspected_link_and_none_moves_often(workers, replicas, tiles, count):
    for seed in range(1 if workers > 100 else 20):
        random, moves = Random(seed), Counter()
        table = table_of(workers, replicas, tiles)
        cut = set()
        for _ in range(count):
            cut.add(random.choice(sorted(needed_links(table))))
            before = roles(table)
            for a, b in cut:
                table = suspecting(table, a, b)
            table = settled(table, 0.0)
            after = roles(table)
            moves.update(role for role in after if after[role] != before[role])
            assert all(slot.staffed for slot in table.slots), f"seed {seed}"
            assert not needed_links(table) & cut, f"seed {seed}"
        assert max(moves.values()) <= MOVES, f"seed {seed}: {moves.most_common(3)}"


def test_tiles_keep_off_links_to_those_alone_that_they_exchange_with():
    row = ((1,), (0, 2), (1, 3), (2,))
    table = table_of(6, 1, 4, partners=row)
    for a, b, moved in ((0, 3, 0), (1, 3, 0), (1, 2, 1)):
        after = settled(suspecting(table, f"w{a:04}", f"w{b:04}"), 0.0)
        tiles, before = after.slots[0].tiles, table.slots[0].tiles
        assert sum(new != old for new, old in zip(tiles, before, strict=True)) == moved
        assert after.slots[0].generation == 1 + moved


def test_a_worker_that_nobody_reaches_gives_up_all_that_others_need():
    table = table_of(6, 2, 2, capacity=4)
    hermit = table.shards[0].primary
    for other in table.members:
        if other != hermit:
            table = suspecting(table, hermit, other)
    table = settled(table, 0.0)
    assert hermit not in roles(table).values()
    assert all(shard.term == 2 for shard in table.shards if shard == table.shards[0])


def test_a_primary_moves_only_where_tiles_have_no_room():
    for capacity, term in ((1, 2), (2, 1)):
        table = table_of(4, 2, 2, capacity)
        primary = table.shards[0].primary
        (tile,) = {slot.tiles[0] for slot in table.slots} - {primary}
        table = settled(suspecting(table, primary, tile), 0.0)
        assert table.shards[0].term == term
        assert all(slot.staffed for slot in table.slots)


def test_servers_are_put_where_weighing_all_workers_would_put_them():
    for seed in range(40):
        random = Random(seed)
        table = table_of(12, 2, 4, capacity=2)
        for name in random.sample(sorted(table.members), 4):
            host = random.choice(["host0", "host1", "host2"])
            table = table.with_member(name, replace(table.members[name], host=host))
        weighed = suspecting(table, "w0010", "w0011")  # neither has a tile
        one, all_of = ServerChoice(), ServerChoice()
        for index in random.sample(range(4), 4):
            shard = replace(table.shards[index], primary=None, standby=None, ready=False)
            table, weighed = table.with_shard(index, shard), weighed.with_shard(index, shard)
        for index in random.sample(range(4), 4):
            primary = one.primary(table, index)
            assert primary == all_of.primary(weighed, index), f"seed {seed}"
            shard = replace(table.shards[index], primary=primary)
            table, weighed = table.with_shard(index, shard), weighed.with_shard(index, shard)
            standby = one.standby(table, index, primary)
            assert standby == all_of.standby(weighed, index, primary), f"seed {seed}"
            shard = replace(shard, standby=standby)
            table, weighed = table.with_shard(index, shard), weighed.with_shard(index, shard)


def test_with_two_workers_a_replica_goes_on_in_one():
    table = table_of(2, 1, 2, capacity=2)
    a, b = sorted(table.members)
    table = settled(suspecting(table, a, b), 0.0)
    assert len(set(table.slots[0].tiles)) == 1
    assert {shard.primary for shard in table.shards} == set(table.slots[0].tiles)


def test_without_backing_off_a_link_that_stays_cut_is_tried_all_the_time():
    table, now, lasted = replace(table_of(3, 1, 2), rules=Rules(back_off=False)), 0.0, []
    a, b = sorted(table.members)[:2]
    for _ in range(4):
        table = suspecting(table, a, b, now)
        lasted.append(table.suspicions[a, b].until - now)
        now = table.suspicions[a, b].until + 1.0
        table, _ = links.relent(table, now - 1.0)
    assert lasted == [30.0] * 4


def test_a_suspicion_lasts_longer_each_time_that_it_comes_back():
    table, now, lasted = table_of(3, 1, 2), 0.0, []
    a, b = sorted(table.members)[:2]
    for _ in range(7):
        table = suspecting(table, a, b, now)
        assert suspecting(table, b, a, now + 1.0) == replace(
            table, contacts=suspecting(table, b, a, now + 1.0).contacts
        )
        until = table.suspicions[a, b].until
        lasted.append(until - now)
        assert not table.reach(a, (b,))
        table, notes = links.relent(table, until)
        assert table.reach(a, (b,))
        assert len(notes) == 1
        now = until + 1.0
    assert lasted == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    table, _ = links.relent(table, now + links.LONGEST)
    assert not table.suspicions
    assert suspecting(table, a, b, 9000.0).suspicions[a, b].seconds == 30.0


def test_a_report_that_names_too_many_is_refused():
    table = table_of(3, 1, 2)
    named = tuple(f"w{i:04}" for i in range(9))
    heartbeat = Heartbeat("run", "w0000", 2, 0.0, "host0", "", 1, (), (), named)
    after, (refused,) = coordinator._hear(table, 0.0, heartbeat)
    assert refused.reason == "of too many workers that are not reached"
    assert after == table


def test_whom_a_report_names_must_be_there():
    table = table_of(3, 1, 2)
    for peer in ("w0000", "nobody"):
        assert not suspecting(table, "w0000", peer).suspicions
