"""Desired states: who is sent one, and what it says.

Those are told whose roles a change touches: the workers of a slot's tiles when the slot changes, validates or a shard has
another primary, those of a pair's servers, all primaries where the roster, the step or the checkpoint is another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import saving
from .changes import difference
from .events import CoordinatorEvent, DrainRequested, Received
from .index import NOTHING
from .instructions import Drained, Instruction, Send, Transition
from .messages import (
    DesiredState,
    Heartbeat,
    LeaseRenewal,
    PrimaryAssignment,
    ReserveAssignment,
    StandbyAssignment,
    TileAssignment,
)
from .server_choice import keeper_of
from .table import Contact, ServerPair, Slot, Table


def publish(before: Table, table: Table, event: CoordinatorEvent) -> Transition[Table]:
    """Send those who have other roles now their desired state, and answer the worker that was just heard."""
    done: tuple[Instruction, ...] = ()
    asked = {event.worker} if isinstance(event, DrainRequested) else set()
    others = {name for name in touched(before, table) if name in table.members} | (
        asked & table.members.keys()
    )
    for worker in sorted(others):
        table, more = _tell(table, worker, event.now)
        done += more
    heard = (
        event.message.worker if isinstance(event, Received) and isinstance(event.message, Heartbeat) else ""
    )
    if heard in others or heard not in table.members:
        return table, done
    table, answer = _answer(table, heard, event.now)
    return table, done + answer


def touched(before: Table, after: Table) -> Iterator[str]:
    """Yield the workers whose desired state follows from what differs between two tables."""
    if after.finished and not before.finished:
        yield from after.members
    if before.slots is not after.slots:
        for was, now in zip(before.slots, after.slots, strict=True):
            if was is not now and _content(was) != _content(now):
                yield from _names(*was.tiles, *now.tiles)
    if before.validation is not after.validation:
        for pending in filter(None, (before.validation, after.validation)):
            yield from _names(*after.slots[pending.slot].tiles)
    if before.shards is not after.shards:
        for shard, (old, new) in enumerate(zip(before.shards, after.shards, strict=True)):
            if old is not new:
                yield from _names(old.primary, old.standby, keeper_of(old))
                yield from _names(new.primary, new.standby, keeper_of(new))
            if (old.primary, old.term) != (new.primary, new.term):
                yield from _names(*after.computed_by(shard))
    if _of_primaries(before) != _of_primaries(after):
        yield from _names(*(shard.primary for shard in after.shards))
    yield from after.members.beyond(before.members)


def _content(slot: Slot) -> tuple[object, ...]:
    return slot.tiles, slot.generation, slot.leases, slot.confirmed


def _of_primaries(table: Table) -> tuple[object, ...]:
    return table.roster.version, table.committed, saving.request(table)


def _names(*names: str | None) -> Iterator[str]:
    return (name for name in names if name is not None)


def _tell(table: Table, worker: str, now: float) -> Transition[Table]:
    """Send a worker what changes in its desired state."""
    member, sent = table.members[worker], table.contacts[worker].desired
    done: tuple[Instruction, ...] = ()
    if member.draining and not member.drained and table.roles(worker) == NOTHING:
        table = table.with_member(worker, replace(member, drained=True))
        done = (Drained(worker),)
    desired = desired_state(table, worker)
    if sent is not None and _says(desired) == _says(sent):
        table, answer = _answer(table, worker, now)
        return table, done + answer
    base = None if _lost(table, worker) else sent
    table = _granted(table, worker, desired, now)
    return table, (*done, Send(worker, difference(base, desired)))


def _answer(table: Table, worker: str, now: float) -> Transition[Table]:
    """Renew the leases of a worker whose heartbeats went unanswered for half an interval, or send it everything anew."""
    contact, sent = table.contacts[worker], table.contacts[worker].desired
    if sent is None or _lost(table, worker):
        desired = desired_state(table, worker)
        table = _granted(table, worker, desired, now)
        return table, (Send(worker, difference(None, desired)),)
    unanswered = contact.heard >= contact.answered + table.spec.times.heartbeat_interval / 2
    obeys = contact.obeyed == sent.version or not table.rules.exact_renewal
    if not unanswered or not obeys:
        return table, ()
    renewal = LeaseRenewal(table.spec.run, worker, sent.version, contact.echo)
    return _granted(table, worker, sent, now), (Send(worker, renewal),)


def _lost(table: Table, worker: str) -> bool:
    """Tell whether a worker does not obey what it was sent an interval ago."""
    contact = table.contacts[worker]
    obeys = contact.desired is not None and contact.obeyed == contact.desired.version
    return not obeys and contact.heard >= contact.answered + table.spec.times.heartbeat_interval


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
    slot, shards = table.slots[index], [table.shards[shard] for shard in table.spec.shards_of(tile)]
    return TileAssignment(
        index,
        tile,
        slot.generation,
        slot.peers,
        tuple((shard.primary, shard.term) if shard.primary is not None else None for shard in shards),
        slot.leases if slot.confirmed else (),
        table.order_for(index) if slot.confirmed else None,
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
        shard.acknowledged is not None,
        table.norms,
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
    contact = Contact(
        contact.number, contact.echo, contact.heard, contact.steady, contact.obeyed, desired, now
    )
    return table.with_contact(worker, contact)
