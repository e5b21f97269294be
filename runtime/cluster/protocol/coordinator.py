"""The coordinator of a run: it assigns roles, leases work and commits steps, and computes nothing.

    event --> react --> links --> staffing --> servers --> balancing --> slowness --> leasing --> validating --> saving -->
    desired states

Each arrow is a pure function of the table that does what has become possible, so the order of heartbeats does not matter,
nor does losing one. After a heartbeat that only says how far the work is, what concerns roles is left out; who is slow is
looked at in ticks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from . import (
    balancing,
    deaths,
    exits,
    leasing,
    links,
    publishing,
    saving,
    servers,
    slowness,
    staffing,
    validating,
)
from .events import (
    BestKept,
    CheckpointRequested,
    CoordinatorEvent,
    DrainRequested,
    Judged,
    ManifestWritten,
    Received,
    StopRequested,
    Tick,
    WorkerExited,
    WorkerLost,
)
from .instructions import GiveUp, Instruction, Note, Refused, Send, SetTimer, Transition
from .manifest import Manifest
from .messages import MAX_UNREACHABLE, Heartbeat, HeartbeatRequest, PrimaryStatus, Restored
from .records import Records
from .spec import Rules, Spec
from .table import BatchPool, Contact, Member, ServerPair, Slot, Table

_Pass = Callable[[Table, float], Transition[Table]]
_ROLES: tuple[_Pass, ...] = (links.relent, staffing.staff, servers.repair, balancing.balance)
_WORK: tuple[_Pass, ...] = (leasing.lease, validating.validate, saving.save)


def begin(
    spec: Spec, now: float, manifest: Manifest | None = None, rules: Rules | None = None
) -> Transition[Table]:
    """Start a run, or go on from a checkpoint of the same replicas, tiles and shards under a new token."""
    vacant = Slot((None,) * spec.tiles)
    slots, shards = (vacant,) * spec.replicas, (ServerPair(),) * spec.shards
    table = Table(spec, slots, shards, lease_ends=(-inf,) * spec.shards, rules=rules or Rules())
    table = replace(table, validated=spec.validated, validations=spec.validations)
    if manifest is not None:
        assert len(manifest.slots) == spec.replicas, "a manifest of another shape is to be reshaped first"
        slots = tuple(saving.resumed(record, spec.tiles) for record in manifest.slots)
        table = replace(
            table,
            slots=slots,
            pool=BatchPool(manifest.fresh, manifest.returned, manifest.used),
            shards=(ServerPair(origin=Restored(manifest.id)),) * spec.shards,
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
    for action in () if table.finished else _passes(before, table, event):
        table, more = action(table, event.now)
        done += more
    table = balancing.rested(before, deaths.forgotten(before, table), event.now)
    table, given_up = _give_up(table, event.now)
    done += given_up
    table, sends = publishing.publish(before, table, event)
    done += sends
    table, timer = _set_timer(before, table, event)
    return table, done + timer


def _passes(before: Table, table: Table, event: CoordinatorEvent) -> tuple[_Pass, ...]:
    """Return what has to be looked at: nothing but the work under way, if a heartbeat says no more than how far that is."""
    if isinstance(event, Tick):
        return (*_ROLES, slowness.relieve, *_WORK)
    if (
        not isinstance(event, Received)
        or before.suspicions is not table.suspicions
        or len(before.members) != len(table.members)
    ):
        return _ROLES + _WORK
    old, new = before.index, table.index
    if old is new:
        return ()
    reported = table.roles(event.message.worker).primaries if isinstance(event.message, Heartbeat) else ()
    statuses = [(old.statuses[shard], new.statuses[shard]) for shard in reported]
    statuses = [(was, now) for was, now in statuses if was is not now]
    if any(progress.stuck for progress in new.progress) or any(_asks(a) != _asks(b) for a, b in statuses):
        return _ROLES + _WORK
    tiles = table.spec.tiles
    further = any(
        was is not now and was.least(tiles) != now.least(tiles)
        for was, now in zip(old.progress, new.progress, strict=True)
    )
    return _WORK if statuses or further or table.validation is not None else ()


def _asks(status: PrimaryStatus | None) -> tuple[object, ...]:
    """Return what servers.py looks at in a status."""
    return () if status is None else (status.ready, status.restored)


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
        case WorkerExited(now, worker, place, cause, confirmed):
            table = deaths.explained(table, worker, place, cause, now)
            return exits.ended(table, worker) if confirmed else table, ()
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
        case Judged():
            return validating.judged(table, event), ()
        case BestKept():
            return validating.kept(table, event), ()
    return table, ()


# --- workers -------------------------------------------------------------------------------------------------------


def _hear(table: Table, now: float, heartbeat: Heartbeat) -> Transition[Table]:
    """Record a heartbeat; the first whole one of a worker makes it a member."""
    worker = heartbeat.worker
    if reason := _refusal(table, heartbeat):
        return table, (Refused(reason, heartbeat),)
    member, contact = table.members.get(worker), table.contacts.get(worker)
    if not _based(table, member, heartbeat):
        refused = Refused("based on a heartbeat that never came", heartbeat)
        return table, (refused, Send(worker, HeartbeatRequest(table.spec.run, worker)))
    if member is None or contact is None:
        return _join(table, now, heartbeat)
    steady = contact.steady if now - contact.heard <= table.spec.times.max_heartbeat_gap else now
    contact = Contact(
        heartbeat.number,
        heartbeat.sent,
        now,
        steady,
        heartbeat.obeyed,
        contact.desired,
        contact.answered if heartbeat.base else -inf,  # it lacks the base of what it was sent
    )
    table = table.with_contact(worker, contact)
    if not heartbeat.bare:
        member = _reported(member, heartbeat)
        table = table.with_member(worker, member)
    return links.suspect(table, now, worker, member.unreachable)


def _refusal(table: Table, heartbeat: Heartbeat) -> str:
    """Return why nothing is taken from a heartbeat, or nothing."""
    if heartbeat.run != table.spec.run:
        return "of another run"
    if heartbeat.worker in table.gone:
        return "of a worker that is gone"
    contact = table.contacts.get(heartbeat.worker)
    if contact is not None and heartbeat.number <= contact.number:
        return "older than a heartbeat known"
    if heartbeat.base == 0 and None in (heartbeat.process, heartbeat.tiles, heartbeat.primaries):
        return "neither whole nor based on another report"
    if len(heartbeat.unreachable or ()) > MAX_UNREACHABLE:
        return "of too many workers that are not reached"
    for tile in heartbeat.tiles or ():
        written = tile.validated.written if tile.validated is not None else None
        if written is not None and len(written.digests) not in (0, table.spec.shards_per_tile):
            return "of other shards"
    for status in heartbeat.primaries or ():
        if not 0 <= status.shard < table.spec.shards:
            return "of no such shard"
        if len(status.norms) not in (0, table.spec.norms):
            return "of other norms"
        saved = status.saved.updates if status.saved is not None else None
        for numbers in (saved, status.restored):
            if numbers is not None and (len(numbers) != table.spec.replicas or not all(numbers)):
                return "of updates of other replicas"
    return ""


def _based(table: Table, member: Member | None, heartbeat: Heartbeat) -> bool:
    """Tell whether a heartbeat can be understood: it is whole, or what it is based on has come."""
    return heartbeat.base == 0 or (
        member is not None and (heartbeat.base == member.report or not table.rules.based)
    )


def _reported(member: Member, heartbeat: Heartbeat) -> Member:
    """Return a member with what a heartbeat tells of it."""
    whole = heartbeat.base == 0
    return Member(
        member.host,
        member.place,
        member.capacity,
        heartbeat.number,
        member.tiles if heartbeat.tiles is None else heartbeat.tiles,
        member.primaries if heartbeat.primaries is None else heartbeat.primaries,
        member.memory if heartbeat.memory is None and not whole else heartbeat.memory,
        member.unreachable if heartbeat.unreachable is None else heartbeat.unreachable,
        member.draining,
        member.drained,
    )


def _join(table: Table, now: float, heartbeat: Heartbeat) -> Transition[Table]:
    worker, process = heartbeat.worker, heartbeat.process
    assert process is not None, "a whole heartbeat has it"
    member = _reported(Member(process.host, process.place, process.capacity), heartbeat)
    contact = Contact(heartbeat.number, heartbeat.sent, now, now, heartbeat.obeyed)
    table = exits.joined(table, worker).with_member(worker, member).with_contact(worker, contact)
    table = servers.adopt(table, worker, member)
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
    table = exits.lost(table, worker)
    if not member.draining:
        table = deaths.lost(table, worker, member.place, now)
    return table, (Note(f"{worker} is lost"),)
