"""Desired states: who is sent one, and what it says.

Those are told whose roles a change touches: the workers of a slot's tiles when the slot changes or a shard has another
primary, those of a pair's servers, all primaries where the roster, the step or the checkpoint is another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import saving
from .index import NOTHING
from .instructions import Drained, Instruction, Send, Transition
from .messages import (
    DesiredState,
    PrimaryAssignment,
    ReserveAssignment,
    StandbyAssignment,
    TileAssignment,
)
from .table import Contact, ServerPair, Slot, Table


def publish(before: Table, table: Table, now: float, heard: str | None) -> Transition[Table]:
    """Send those who have other roles now their desired state, and answer the worker that was just heard."""
    done: tuple[Instruction, ...] = ()
    workers = {name for name in touched(before, table) if name in table.members}
    if heard is not None and heard in table.members:
        workers.add(heard)
    for worker in sorted(workers):
        table, more = _tell(table, worker, now)
        done += more
    return table, done


def touched(before: Table, after: Table) -> Iterator[str]:
    """Yield the workers whose desired state follows from what differs between two tables."""
    if after.finished and not before.finished:
        yield from after.members
    if before.slots is not after.slots:
        for was, now in zip(before.slots, after.slots, strict=True):
            if was is not now and _content(was) != _content(now):
                yield from _names(*was.tiles, *now.tiles)
    if before.shards is not after.shards:
        for shard, (old, new) in enumerate(zip(before.shards, after.shards, strict=True)):
            if old is not new:
                yield from _names(old.primary, old.standby, _keeper(old))
                yield from _names(new.primary, new.standby, _keeper(new))
            if (old.primary, old.term) != (new.primary, new.term):
                yield from _names(*(slot.tiles[shard] for slot in after.slots))
    if _of_primaries(before) != _of_primaries(after):
        yield from _names(*(shard.primary for shard in after.shards))
    if before.members is not after.members and len(before.members) != len(after.members):
        yield from (name for name in after.members if name not in before.members)


def _content(slot: Slot) -> tuple[object, ...]:
    return slot.tiles, slot.generation, slot.leases, slot.confirmed


def _of_primaries(table: Table) -> tuple[object, ...]:
    return table.roster.version, table.committed, saving.request(table)


def _names(*names: str | None) -> Iterator[str]:
    return (name for name in names if name is not None)


def _keeper(shard: ServerPair) -> str | None:
    return shard.reserve[0] if shard.reserve is not None else None


def _tell(table: Table, worker: str, now: float) -> Transition[Table]:
    """Send a worker its desired state if it is another one, or if its heartbeats went unanswered for half an interval."""
    contact, member, roles = table.contacts[worker], table.members[worker], table.roles(worker)
    done: tuple[Instruction, ...] = ()
    if member.draining and not member.drained and roles == NOTHING:
        table = table.with_member(worker, replace(member, drained=True))
        done = (Drained(worker),)
    desired = desired_state(table, worker)
    unanswered = contact.heard >= contact.answered + table.spec.times.heartbeat_interval / 2
    if not unanswered and contact.desired is not None and _says(desired) == _says(contact.desired):
        return table, done
    return _granted(table, worker, desired, now), (*done, Send(worker, desired))


def _says(desired: DesiredState) -> tuple[object, ...]:
    return desired.tiles, desired.primaries, desired.standbys, desired.reserves, desired.stop


def desired_state(table: Table, worker: str) -> DesiredState:
    """Return the next desired state of a worker."""
    roles = table.roles(worker)
    return DesiredState(
        table.spec.run,
        worker,
        table.version + 1,
        table.contacts[worker].echo,
        tuple(_tile(table, slot, tile) for slot, tile in roles.tiles),
        tuple(_primary(table, shard) for shard in roles.primaries),
        tuple(
            StandbyAssignment(shard, table.shards[shard].term, table.shards[shard].incarnation)
            for shard in roles.standbys
        ),
        tuple(ReserveAssignment(shard, _reserved(table.shards[shard])) for shard in roles.reserves),
        table.finished,
    )


def _tile(table: Table, index: int, tile: int) -> TileAssignment:
    slot, shard = table.slots[index], table.shards[tile]
    return TileAssignment(
        index,
        tile,
        slot.generation,
        slot.peers,
        (shard.primary, shard.term) if shard.primary is not None else None,
        slot.leases if slot.confirmed else (),
    )


def _primary(table: Table, index: int) -> PrimaryAssignment:
    shard = table.shards[index]
    return PrimaryAssignment(
        index,
        shard.term,
        shard.origin,
        not shard.retiring,
        (shard.standby, shard.incarnation) if shard.standby is not None else None,
        shard.ready,
        table.roster,
        table.committed,
        saving.request(table),
    )


def _reserved(shard: ServerPair) -> int:
    assert shard.reserve is not None
    return shard.reserve[1]


def _granted(table: Table, worker: str, desired: DesiredState, now: float) -> Table:
    """Record the desired state sent, and when its leases expire: they count from the echoed heartbeat."""
    contact = table.contacts[worker]
    until = contact.heard + table.spec.times.until_expired
    for assignment in desired.primaries:
        if assignment.leased:
            table = table.with_lease_end(assignment.shard, until)
    contact = Contact(contact.number, contact.echo, contact.heard, contact.steady, desired, now)
    return replace(table.with_contact(worker, contact), version=desired.version)
