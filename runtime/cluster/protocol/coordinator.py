"""The coordinator of a run: it assigns roles, leases work and commits steps, and computes nothing.

    event --> react --> links --> staffing --> servers --> balancing --> leasing --> saving --> desired states

Each arrow is a pure function of the whole table that does what has become possible, so the order of heartbeats does not
matter, nor does losing one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from . import balancing, deaths, leasing, links, publishing, saving, servers, staffing
from .events import (
    CheckpointRequested,
    CoordinatorEvent,
    DrainRequested,
    ManifestWritten,
    Received,
    StopRequested,
    Tick,
    WorkerExited,
    WorkerLost,
)
from .instructions import GiveUp, Instruction, Note, Refused, SetTimer, Transition
from .manifest import Manifest
from .messages import MAX_UNREACHABLE, Heartbeat, PrimaryStatus, Restored
from .records import Records
from .spec import Rules, Spec
from .table import BatchPool, Contact, Member, ServerPair, Slot, Table

_Pass = Callable[[Table, float], Transition[Table]]
_ROLES: tuple[_Pass, ...] = (links.relent, staffing.staff, servers.repair, balancing.balance)
_WORK: tuple[_Pass, ...] = (leasing.lease, saving.save)


def begin(
    spec: Spec, now: float, manifest: Manifest | None = None, rules: Rules | None = None
) -> Transition[Table]:
    """Start a run, or go on from a checkpoint of the same number of replicas and tiles under a new token."""
    vacant = Slot((None,) * spec.tiles)
    slots, shards = (vacant,) * spec.replicas, (ServerPair(),) * spec.tiles
    table = Table(spec, slots, shards, lease_ends=(-inf,) * spec.tiles, rules=rules or Rules())
    if manifest is not None:
        assert len(manifest.slots) == spec.replicas, "a manifest of another shape is to be reshaped first"
        slots = tuple(saving.resumed(record, spec.tiles) for record in manifest.slots)
        table = replace(
            table,
            slots=slots,
            pool=BatchPool(manifest.fresh, manifest.returned, manifest.used),
            shards=(ServerPair(origin=Restored(manifest.id)),) * spec.tiles,
            committed=manifest.step or 0,
            manifest=manifest,
            checkpoints=manifest.id,
            marked=manifest.used,
            reached=manifest.used,
        ).enrolled()
    table = table.indexed()
    return _set_timer(table, table, Tick(now))


def step(table: Table, event: CoordinatorEvent) -> Transition[Table]:
    """React to an event, then do all that has become possible."""
    before = table
    table, done = _react(table, event)
    if not table.finished:
        for action in _ROLES if _may_move_roles(before, table, event) else ():
            table, more = action(table, event.now)
            done += more
        for action in _WORK:
            table, more = action(table, event.now)
            done += more
    table = balancing.rested(before, deaths.forgotten(before, table), event.now)
    table, given_up = _give_up(table, event.now)
    done += given_up
    table, sends = publishing.publish(before, table, event.now, _heard(event))
    done += sends
    table, timer = _set_timer(before, table, event)
    return table, done + timer


def _may_move_roles(before: Table, table: Table, event: CoordinatorEvent) -> bool:
    """Tell whether roles may have to change: not for a heartbeat that only says how far the work of known roles is."""
    if not isinstance(event, Received) or len(before.members) != len(table.members):
        return True
    if before.suspicions is not table.suspicions:
        return True
    index = table.index
    if index is before.index:
        return False
    stuck = any(progress.stuck for progress in index.progress)
    return stuck or any(
        new is not old and _asks(new) != _asks(old)
        for old, new in zip(before.index.statuses, index.statuses, strict=True)
    )


def _asks(status: PrimaryStatus | None) -> tuple[object, ...]:
    """Return what servers.py looks at in a status."""
    return () if status is None else (status.ready, status.restored)


def _heard(event: CoordinatorEvent) -> str | None:
    return (
        event.message.worker if isinstance(event, Received) and isinstance(event.message, Heartbeat) else None
    )


def _give_up(table: Table, now: float) -> Transition[Table]:
    """Once the run is hopeless, save a last checkpoint, then give up.

    A step that is finished meanwhile calls it off.
    """
    if table.finished or table.given_up:
        return table, ()
    if not deaths.hopeless(table, now):
        return (table if table.hopeless_since is None else replace(table, hopeless_since=None)), ()
    if table.hopeless_since is None:
        table = saving.begin_last(replace(table, hopeless_since=now))
    assert table.hopeless_since is not None
    if table.pending is not None and now - table.hopeless_since <= table.spec.times.grace_period:
        return table, ()
    found = (*table.rollback_deaths, *deaths.confirmed(table, now))
    since = found[0].at if found else table.hopeless_since
    return replace(table, given_up=True), (GiveUp(found, table.hopeless_since - since, table.rollbacks),)


def _set_timer(before: Table, table: Table, event: CoordinatorEvent) -> Transition[Table]:
    """Tick every heartbeat interval, and when a lease ends that somebody waits for."""
    ticked = isinstance(event, Tick)
    if before.shards is table.shards and not ticked:
        return table, ()
    regular = event.now + table.spec.times.heartbeat_interval if ticked else table.due
    due = min(regular, servers.waits_until(table, event.now))
    if due == table.due and not ticked:
        return table, ()
    return replace(table, due=due), (SetTimer(due),)


def _react(table: Table, event: CoordinatorEvent) -> Transition[Table]:
    match event:
        case Received(_, _, Heartbeat() as heartbeat):
            return _hear(table, event.now, heartbeat)
        case Received(_, _, message):
            return table, (Refused("nothing for a coordinator", message),)
        case Tick(now):
            return _expire_silent(_discount_stall(table, now), now)
        case WorkerLost(now, worker, place):
            table = replace(table, gone=table.gone | {worker})
            if worker in table.members:
                return _expire(table, worker, now)
            return deaths.lost(table, worker, place, now) if place else table, ()
        case WorkerExited(now, worker, place, cause):
            return deaths.explained(table, worker, place, cause, now), ()
        case DrainRequested(_, worker) if worker in table.members:
            member = replace(table.members[worker], draining=True)
            table = replace(table, settled=event.now)
            return staffing.vacate(table, worker).with_member(worker, member), ()
        case CheckpointRequested():
            return replace(table, checkpoint_requested=True), ()
        case StopRequested():
            return replace(table, stopping=True), ()
        case ManifestWritten():
            return saving.written(table, event)
    return table, ()


# --- workers -------------------------------------------------------------------------------------------------------


def _hear(table: Table, now: float, heartbeat: Heartbeat) -> Transition[Table]:
    """Record a heartbeat; the first one of a worker makes it a member."""
    if heartbeat.run != table.spec.run:
        return table, (Refused("of another run", heartbeat),)
    if any(not 0 <= status.shard < table.spec.tiles for status in heartbeat.primaries):
        return table, (Refused("of no such shard", heartbeat),)
    if len(heartbeat.unreachable) > MAX_UNREACHABLE:
        return table, (Refused("of too many workers that are not reached", heartbeat),)
    if heartbeat.worker in table.gone:
        return table, (Refused("of a worker that is gone", heartbeat),)
    member, contact = table.members.get(heartbeat.worker), table.contacts.get(heartbeat.worker)
    if member is None or contact is None:
        return _join(table, now, heartbeat)
    if heartbeat.number <= contact.number:
        return table, (Refused("older than a report known", heartbeat),)
    steady = contact.steady if now - contact.heard <= table.spec.times.max_heartbeat_gap else now
    heard = Contact(heartbeat.number, heartbeat.sent, now, steady, contact.desired, contact.answered)
    table = table.with_contact(heartbeat.worker, heard)
    reported = replace(
        member,
        report=heartbeat.number,
        tiles=heartbeat.tiles,
        primaries=heartbeat.primaries,
        memory=heartbeat.memory,
    )
    table = table.with_member(heartbeat.worker, reported)
    return links.suspect(table, now, heartbeat.worker, heartbeat.unreachable)


def _join(table: Table, now: float, heartbeat: Heartbeat) -> Transition[Table]:
    worker = heartbeat.worker
    member = Member(
        heartbeat.host,
        heartbeat.place,
        heartbeat.capacity,
        heartbeat.number,
        heartbeat.tiles,
        heartbeat.primaries,
        heartbeat.memory,
    )
    contact = Contact(heartbeat.number, heartbeat.sent, now, now)
    table = servers.adopt(table.with_member(worker, member).with_contact(worker, contact), worker, member)
    enough = len(table.members) >= table.spec.workers
    return replace(table, begun=table.begun or enough), (Note(f"{worker} joins on {member.host}"),)


def _discount_stall(table: Table, now: float) -> Table:
    """Do not expire workers for a stall of the coordinator: their heartbeats are yet to be read."""
    late = now - table.due
    if late < table.spec.times.heartbeat_interval:
        return table
    contacts = {name: replace(found, heard=found.heard + late) for name, found in table.contacts.items()}
    return deaths.postponed(replace(table, contacts=Records(contacts)), late)


def _expire_silent(table: Table, now: float) -> Transition[Table]:
    done: tuple[Instruction, ...] = ()
    since = now - table.spec.times.failure_timeout
    for worker in sorted(name for name, contact in table.contacts.items() if contact.heard < since):
        table, more = _expire(table, worker, now)
        done += more
    return table, done


def _expire(table: Table, worker: str, now: float) -> Transition[Table]:
    """Vacate all roles of a worker that is lost."""
    member = table.members[worker]
    table = staffing.vacate(servers.vacate(table, worker), worker).without_member(worker)
    if not member.draining:
        table = deaths.lost(table, worker, member.place, now)
    return table, (Note(f"{worker} is lost"),)
