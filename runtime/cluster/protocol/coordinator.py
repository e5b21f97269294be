"""The coordinator of a run: it assigns roles, leases work and commits steps, and computes nothing.

    event --> react --> links --> staffing --> servers --> balancing --> leasing --> saving --> desired states

Each arrow is a pure function of the whole table that does what has become possible, so the order of heartbeats does not
matter, nor does losing one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from . import balancing, deaths, leasing, links, saving, servers, staffing
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
from .instructions import Drained, GiveUp, Instruction, Note, Refused, Send, SetTimer, Transition
from .manifest import Manifest
from .messages import (
    MAX_UNREACHABLE,
    DesiredState,
    Heartbeat,
    PrimaryAssignment,
    ReserveAssignment,
    Restored,
    StandbyAssignment,
    TileAssignment,
)
from .spec import Rules, Spec
from .table import BatchPool, Member, ServerPair, Slot, Table

_PASSES: tuple[Callable[[Table, float], Transition[Table]], ...] = (
    links.relent,
    staffing.staff,
    servers.repair,
    balancing.balance,
    leasing.lease,
    saving.save,
)


def begin(
    spec: Spec, now: float, manifest: Manifest | None = None, rules: Rules | None = None
) -> Transition[Table]:
    """Start a run, or go on from a checkpoint of the same number of replicas and tiles under a new token."""
    vacant = Slot((None,) * spec.tiles)
    table = Table(spec, (vacant,) * spec.replicas, (ServerPair(),) * spec.tiles, rules=rules or Rules())
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
    return _set_timer(table, now)


def step(table: Table, event: CoordinatorEvent) -> Transition[Table]:
    """React to an event, then do all that has become possible."""
    before = table
    table, done = _react(table, event)
    if not table.finished:
        for action in _PASSES:
            table, more = action(table, event.now)
            done += more
    table = balancing.rested(before, deaths.forgotten(before, table), event.now)
    table, given_up = _give_up(table, event.now)
    done += given_up
    table, sends = _publish(table, event.now)
    done += sends
    if isinstance(event, Tick):
        table, timer = _set_timer(table, event.now)
        done += timer
    return table, done


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


def _set_timer(table: Table, now: float) -> Transition[Table]:
    due = now + table.spec.times.heartbeat_interval
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
            return _with_member(staffing.vacate(table, worker), worker, member), ()
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
    known = table.members.get(heartbeat.worker)
    if known is not None and heartbeat.number <= known.number:
        return table, (Refused("older than a report known", heartbeat),)
    member = Member(
        heartbeat.host,
        heartbeat.place,
        heartbeat.capacity,
        now,
        heartbeat.sent,
        heartbeat.number,
        heartbeat.tiles,
        heartbeat.primaries,
        steady=now,
        memory=heartbeat.memory,
    )
    if known is None:
        return _join(table, heartbeat.worker, member)
    member = replace(
        member,
        draining=known.draining,
        drained=known.drained,
        desired=known.desired,
        answered=known.answered,
        steady=known.steady if now - known.heard <= table.spec.times.max_heartbeat_gap else now,
    )
    return links.suspect(
        _with_member(table, heartbeat.worker, member), now, heartbeat.worker, heartbeat.unreachable
    )


def _join(table: Table, worker: str, member: Member) -> Transition[Table]:
    table = servers.adopt(_with_member(table, worker, member), worker, member)
    enough = len(table.members) >= table.spec.workers
    return replace(table, begun=table.begun or enough), (Note(f"{worker} joins on {member.host}"),)


def _discount_stall(table: Table, now: float) -> Table:
    """Do not expire workers for a stall of the coordinator: their heartbeats are yet to be read."""
    late = now - table.due
    if late < table.spec.times.heartbeat_interval:
        return table
    members = {name: replace(member, heard=member.heard + late) for name, member in table.members.items()}
    return deaths.postponed(replace(table, members=members), late)


def _expire_silent(table: Table, now: float) -> Transition[Table]:
    done: tuple[Instruction, ...] = ()
    for worker, member in sorted(table.members.items()):
        if now - member.heard > table.spec.times.failure_timeout:
            table, more = _expire(table, worker, now)
            done += more
    return table, done


def _expire(table: Table, worker: str, now: float) -> Transition[Table]:
    """Vacate all roles of a worker that is lost."""
    member = table.members[worker]
    members = {name: member for name, member in table.members.items() if name != worker}
    table = replace(table, members=members)
    if not member.draining:
        table = deaths.lost(table, worker, member.place, now)
    table = staffing.vacate(servers.vacate(table, worker), worker)
    return table, (Note(f"{worker} is lost"),)


def _with_member(table: Table, worker: str, member: Member) -> Table:
    return replace(table, members={**table.members, worker: member})


# --- desired states ------------------------------------------------------------------------------------------------


def _publish(table: Table, now: float) -> Transition[Table]:
    """Send each worker its desired state if it changed, or if its heartbeats have not been answered for half an interval."""
    done: tuple[Instruction, ...] = ()
    for worker in sorted(table.members):
        member = table.members[worker]
        desired = _desired_state(table, worker, member)
        changed = member.desired is None or _content(desired) != _content(member.desired)
        unanswered = member.heard >= member.answered + table.spec.times.heartbeat_interval / 2
        if member.draining and not member.drained and _idle(desired):
            member = replace(member, drained=True)
            table = _with_member(table, worker, member)
            done += (Drained(worker),)
        if not changed and not unanswered:
            continue
        table = _granted(table, worker, desired, now)
        done += (Send(worker, desired),)
    return table, done


def _desired_state(table: Table, worker: str, member: Member) -> DesiredState:
    return DesiredState(
        table.spec.run,
        worker,
        table.version + 1,
        member.echo,
        _tile_assignments(table, worker),
        tuple(
            _primary_assignment(table, i) for i, shard in enumerate(table.shards) if shard.primary == worker
        ),
        tuple(
            StandbyAssignment(i, shard.term, shard.incarnation)
            for i, shard in enumerate(table.shards)
            if shard.standby == worker
        ),
        tuple(
            ReserveAssignment(i, shard.reserve[1])
            for i, shard in enumerate(table.shards)
            if shard.reserve is not None and shard.reserve[0] == worker
        ),
        table.finished,
    )


def _tile_assignments(table: Table, worker: str) -> tuple[TileAssignment, ...]:
    return tuple(
        TileAssignment(
            index,
            tile,
            slot.generation,
            tuple(name or "" for name in slot.tiles),
            _server(table.shards[tile]),
            slot.leases if slot.confirmed else (),
        )
        for index, slot in enumerate(table.slots)
        for tile, name in enumerate(slot.tiles)
        if name == worker
    )


def _server(shard: ServerPair) -> tuple[str, int] | None:
    return (shard.primary, shard.term) if shard.primary is not None else None


def _primary_assignment(table: Table, index: int) -> PrimaryAssignment:
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


def _content(desired: DesiredState) -> tuple[object, ...]:
    return desired.tiles, desired.primaries, desired.standbys, desired.reserves, desired.stop


def _idle(desired: DesiredState) -> bool:
    return not (desired.tiles or desired.primaries or desired.standbys or desired.reserves)


def _granted(table: Table, worker: str, desired: DesiredState, now: float) -> Table:
    """Record the desired state sent, and when its leases expire: they count from the echoed heartbeat."""
    member = table.members[worker]
    until = member.heard + table.spec.times.until_expired
    for assignment in desired.primaries:
        shard = table.shards[assignment.shard]
        if assignment.leased:
            table = table.with_shard(
                assignment.shard, replace(shard, lease_until=max(shard.lease_until, until))
            )
    member = replace(member, desired=desired, answered=now)
    return replace(_with_member(table, worker, member), version=desired.version)
