"""Whom the coordinator sends orders to: those whom a change touches, and nobody else."""

from dataclasses import replace

from properties import Watch
from simulator import Cluster, spec

from lnet.runtime.cluster.protocol import coordinator
from lnet.runtime.cluster.protocol.events import CheckpointRequested, Received
from lnet.runtime.cluster.protocol.messages import DesiredStateChange, Heartbeat, Process
from lnet.runtime.cluster.protocol.publishing import touched


def settled():
    cluster = Cluster(0, spec(batches=10**6), 3, Watch())
    cluster.run(3.0)
    return cluster.table


def test_where_nothing_changes_nobody_is_touched():
    table = settled()
    assert list(touched(table, table)) == []


def test_primaries_are_told_of_a_checkpoint_and_tiles_of_another_primary():
    table = settled()
    primaries = {shard.primary for shard in table.shards}
    assert set(touched(table, replace(table, committed=table.committed + 1))) == primaries
    other = next(name for name in table.members if name != table.shards[0].primary)
    moved = table.with_shard(0, replace(table.shards[0], primary=other, term=2))
    assert {slot.tiles[0] for slot in table.slots} | {other, table.shards[0].primary} <= set(
        touched(table, moved)
    )


def test_a_worker_that_lacks_the_base_of_what_it_was_sent_is_told_everything_at_once():
    """It need not wait for an interval without anything else for it, which may not come."""
    table = settled()
    primary, now = table.shards[0].primary, max(c.heard for c in table.contacts.values())
    table, _ = coordinator.step(table, CheckpointRequested(now))
    contact, member = table.contacts[primary], table.members[primary]
    assert contact.desired.version > contact.obeyed
    whole = Heartbeat(
        table.spec.run,
        primary,
        contact.number + 1,
        contact.echo,
        0,
        contact.obeyed,
        Process(member.host, member.place, member.capacity),
        member.tiles,
        member.primaries,
        member.unreachable,
        member.memory,
    )
    _, done = coordinator.step(table, Received(now, primary, whole))
    (told,) = [i.message for i in done if isinstance(getattr(i, "message", None), DesiredStateChange)]
    assert (told.worker, told.base) == (primary, 0)
