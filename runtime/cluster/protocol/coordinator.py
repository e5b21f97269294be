"""The coordinator: one for a run. It gives out roles, leases and commits, and computes nothing.

    event --> react --> links --> staffing --> servers --> balancing --> leasing --> saving --> orders where they changed

Each arrow is a pure function of the whole table that does what has become possible, so that the order in which reports
come in, or are lost, does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from . import balancing, deaths, leasing, links, saving, servers, staffing
from .events import (
    CheckpointWanted,
    CoordinatorEvent,
    DrainWanted,
    ManifestWritten,
    Received,
    StopWanted,
    Tick,
    WorkerEnded,
    WorkerLost,
)
from .instructions import Drained, GiveUp, Instruction, Note, Refused, Send, SetTimer
from .manifest import Manifest
from .messages import MOST_NAMED, Orders, PrimaryDuty, Report, ReserveDuty, Restored, StandbyDuty, TileDuty
from .spec import Rules, Spec
from .table import Member, Pool, Shard, Slot, Step, Table

_PASSES: tuple[Callable[[Table, float], Step], ...] = (
    links.relent,
    staffing.staff,
    servers.repair,
    balancing.balance,
    leasing.lease,
    saving.save,
)


def begin(spec: Spec, now: float, manifest: Manifest | None = None, rules: Rules | None = None) -> Step:
    """Start a run, or go on from a checkpoint of the same number of replicas and tiles under a new token."""
    vacant = Slot((None,) * spec.tiles)
    table = Table(spec, (vacant,) * spec.replicas, (Shard(),) * spec.tiles, rules=rules or Rules())
    if manifest is not None:
        assert len(manifest.slots) == spec.replicas, "a manifest of another shape is to be reshaped first"
        slots = tuple(saving.resumed(record, spec.tiles) for record in manifest.slots)
        table = replace(
            table,
            slots=slots,
            pool=Pool(manifest.fresh, manifest.returned, manifest.used),
            shards=(Shard(origin=Restored(manifest.id)),) * spec.tiles,
            committed=manifest.step or 0,
            manifest=manifest,
            checkpoints=manifest.id,
            marked=manifest.used,
            reached=manifest.used,
        ).enrolled()
    return _set_timer(table, now)


def step(table: Table, event: CoordinatorEvent) -> Step:
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


def _give_up(table: Table, now: float) -> Step:
    """Save what there is once nothing but the end of processes happens any more, then say so, once.

    A step that is done meanwhile saves the run.
    """
    if table.finished or table.given_up:
        return table, ()
    if not deaths.hopeless(table, now):
        return (table if table.hopeless_since is None else replace(table, hopeless_since=None)), ()
    if table.hopeless_since is None:
        table = saving.begin_last(replace(table, hopeless_since=now))
    assert table.hopeless_since is not None
    if table.pending is not None and now - table.hopeless_since <= table.spec.times.patience:
        return table, ()
    found = (*table.rollback_deaths, *deaths.confirmed(table, now))
    since = found[0].at if found else table.hopeless_since
    return replace(table, given_up=True), (GiveUp(found, table.hopeless_since - since, table.rollbacks),)


def _set_timer(table: Table, now: float) -> Step:
    due = now + table.spec.times.beat
    return replace(table, due=due), (SetTimer(due),)


def _react(table: Table, event: CoordinatorEvent) -> Step:
    match event:
        case Received(_, _, Report() as report):
            return _reported(table, event.now, report)
        case Received(_, _, message):
            return table, (Refused("nothing for a coordinator", message),)
        case Tick(now):
            return _bury_silent(_forgive(table, now), now)
        case WorkerLost(now, worker, place):
            table = replace(table, gone=table.gone | {worker})
            if worker in table.members:
                return _bury(table, worker, now)
            return deaths.lost(table, worker, place, now) if place else table, ()
        case WorkerEnded(now, worker, place, cause):
            return deaths.explained(table, worker, place, cause, now), ()
        case DrainWanted(_, worker) if worker in table.members:
            member = replace(table.members[worker], draining=True)
            return _with_member(staffing.vacate(table, worker), worker, member), ()
        case CheckpointWanted():
            return replace(table, wanted=True), ()
        case StopWanted():
            return replace(table, stopping=True), ()
        case ManifestWritten():
            return saving.written(table, event)
    return table, ()


# --- workers -------------------------------------------------------------------------------------------------------


def _reported(table: Table, now: float, report: Report) -> Step:
    """Take a report in; the first one of a worker makes it a member."""
    if report.run != table.spec.run:
        return table, (Refused("of another run", report),)
    if any(not 0 <= status.shard < table.spec.tiles for status in report.primaries):
        return table, (Refused("of no such shard", report),)
    if len(report.unreached) > MOST_NAMED:
        return table, (Refused("of too many workers that are not reached", report),)
    if report.worker in table.gone:
        return table, (Refused("of a worker that is gone", report),)
    known = table.members.get(report.worker)
    if known is not None and report.number <= known.number:
        return table, (Refused("older than a report known", report),)
    member = Member(
        report.host,
        report.place,
        report.capacity,
        now,
        report.sent,
        report.number,
        report.tiles,
        report.primaries,
        steady=now,
        memory=report.memory,
    )
    if known is None:
        return _join(table, report.worker, member)
    member = replace(
        member,
        draining=known.draining,
        drained=known.drained,
        ordered=known.ordered,
        answered=known.answered,
        steady=known.steady if now - known.heard <= table.spec.times.gap else now,
    )
    return links.suspect(_with_member(table, report.worker, member), now, report.worker, report.unreached)


def _join(table: Table, worker: str, member: Member) -> Step:
    table = servers.adopt(_with_member(table, worker, member), worker, member)
    enough = len(table.members) >= table.spec.workers
    return replace(table, begun=table.begun or enough), (Note(f"{worker} joins on {member.host}"),)


def _forgive(table: Table, now: float) -> Table:
    """Do not expire workers for a stall of the coordinator: their reports are yet to be read."""
    late = now - table.due
    if late < table.spec.times.beat:
        return table
    members = {name: replace(member, heard=member.heard + late) for name, member in table.members.items()}
    return deaths.postponed(replace(table, members=members), late)


def _bury_silent(table: Table, now: float) -> Step:
    done: tuple[Instruction, ...] = ()
    for worker, member in sorted(table.members.items()):
        if now - member.heard > table.spec.times.silence:
            table, more = _bury(table, worker, now)
            done += more
    return table, done


def _bury(table: Table, worker: str, now: float) -> Step:
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


# --- orders --------------------------------------------------------------------------------------------------------


def _publish(table: Table, now: float) -> Step:
    """Send orders to those for whom they changed, and to those who have not been answered for a while."""
    done: tuple[Instruction, ...] = ()
    for worker in sorted(table.members):
        member = table.members[worker]
        orders = _orders(table, worker, member)
        changed = member.ordered is None or _content(orders) != _content(member.ordered)
        unanswered = member.heard >= member.answered + table.spec.times.beat / 2
        if member.draining and not member.drained and _idle(orders):
            member = replace(member, drained=True)
            table = _with_member(table, worker, member)
            done += (Drained(worker),)
        if not changed and not unanswered:
            continue
        table = _granted(table, worker, orders, now)
        done += (Send(worker, orders),)
    return table, done


def _orders(table: Table, worker: str, member: Member) -> Orders:
    return Orders(
        table.spec.run,
        worker,
        table.orders + 1,
        member.echo,
        _tile_duties(table, worker),
        tuple(_primary_duty(table, i) for i, shard in enumerate(table.shards) if shard.primary == worker),
        tuple(
            StandbyDuty(i, shard.term, shard.filling)
            for i, shard in enumerate(table.shards)
            if shard.standby == worker
        ),
        tuple(
            ReserveDuty(i, shard.reserve[1])
            for i, shard in enumerate(table.shards)
            if shard.reserve is not None and shard.reserve[0] == worker
        ),
        table.finished,
    )


def _tile_duties(table: Table, worker: str) -> tuple[TileDuty, ...]:
    return tuple(
        TileDuty(
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


def _server(shard: Shard) -> tuple[str, int] | None:
    return (shard.primary, shard.term) if shard.primary is not None else None


def _primary_duty(table: Table, index: int) -> PrimaryDuty:
    shard = table.shards[index]
    return PrimaryDuty(
        index,
        shard.term,
        shard.origin,
        not shard.retiring,
        (shard.standby, shard.filling) if shard.standby is not None else None,
        shard.ready,
        table.roster,
        table.committed,
        saving.request(table),
    )


def _content(orders: Orders) -> tuple[object, ...]:
    return orders.tiles, orders.primaries, orders.standbys, orders.reserves, orders.stop


def _idle(orders: Orders) -> bool:
    return not (orders.tiles or orders.primaries or orders.standbys or orders.reserves)


def _granted(table: Table, worker: str, orders: Orders, now: float) -> Table:
    """Record the orders sent, and when their leases expire: these count from the echoed report."""
    member = table.members[worker]
    until = member.heard + table.spec.times.until_expired
    for duty in orders.primaries:
        shard = table.shards[duty.shard]
        if duty.leased:
            table = table.with_shard(duty.shard, replace(shard, lease_until=max(shard.lease_until, until)))
    member = replace(member, ordered=orders, answered=now)
    return replace(_with_member(table, worker, member), orders=orders.version)
