"""Leases of work: which batches a replica computes, as which update.

asynchronous   A replica slot numbers its updates. A number is leased with its batches, for good: whoever computes it
               later, after a loss, takes the same ones. A replica that lapses gives its batches back, and goes on later
               with numbers never used, from those of the slowest live one on.
synchronous    Part p of step t is batch t * replicas + p. Each replica computes its own part, and those of replicas
               that are away; a step is committed when all its parts are safe at all shards.
"""

from __future__ import annotations

from dataclasses import replace

from .instructions import DeclareTorn, Instruction, Note, Transition
from .messages import Task, TileStatus
from .table import BatchPool, Slot, Table
from .updates import Update


def lease(table: Table, now: float) -> Transition[Table]:
    """Retire finished leases and grant new ones."""
    return _lease_steps(table) if table.spec.synchronous else _lease_updates(table)


# --- asynchronous --------------------------------------------------------------------------------------------------


def _lease_updates(table: Table) -> Transition[Table]:
    torn: tuple[Instruction, ...] = ()
    slots = table.slots
    for index, slot in enumerate(slots):
        if slot.leases and slot.staffed:
            table, found = _retire(table, index)
            torn += found
    for index, slot in enumerate(table.slots):
        if slot.staffed and (len(slot.leases) < table.spec.block or not slot.active):
            table = _extend(table, index)
    if table.slots is not slots:
        table = table.enrolled()
    return _confirm(table), torn


def _retire(table: Table, index: int) -> Transition[Table]:
    """Retire the leases whose updates all tiles have acknowledged."""
    slot = table.slots[index]
    low_water = max(slot.low_water, table.done(index))
    if low_water <= slot.leases[0].update.number:
        return table, ()
    retired = tuple(task for task in slot.leases if task.update.number < low_water)
    leases = slot.leases[len(retired) :]
    kept = (*slot.kept, *retired) if table.pending is not None else ()
    pool = replace(table.pool, used=table.pool.used + sum(len(task.batches) for task in retired))
    found = [status for status in table.tile_statuses(index) if status is not None]
    table = replace(table, pool=pool).with_slot(
        index, replace(slot, low_water=low_water, leases=leases, kept=kept)
    )
    return table, tuple(DeclareTorn(task.update) for task in retired if _is_torn(task, found))


def _is_torn(task: Task, statuses: list[TileStatus]) -> bool:
    """Tell whether shards have an update from different generations of its replica."""
    generations = set()
    for status in statuses:
        earlier = {generation for number, generation in status.earlier if number == task.update.number}
        generations |= earlier or {status.generation}
    return len(generations) > 1


def _extend(table: Table, index: int) -> Table:
    """Lease up to a block; a replica with nothing to do does not count for staleness, so that nobody waits for it."""
    slot = table.slots[index]
    if _warming_up(table) and index != _first_staffed(table):
        return table
    if not slot.active:
        if not _batches_left(table):
            return table
        slot = activated(table, slot)
    pool, leases, number = table.pool, slot.leases, slot.next
    while len(leases) < table.spec.block and not table.stopping:
        pool, batches = _take(pool, table.spec.push, table.spec.batches)
        if not batches:
            break
        leases, number = (*leases, Task(Update(index, number), batches)), number + 1
    active = bool(leases) or table.order_for(index) is not None
    if leases is slot.leases and slot.active == active:
        return table
    slot = replace(slot, leases=leases, next=number, active=active)
    return replace(table, pool=pool).with_slot(index, slot)


def activated(table: Table, slot: Slot) -> Slot:
    """Start at the slowest live replica's number, and never at one that was leased before."""
    marks = [other.low_water for other in table.slots if other.active]
    start = max(slot.next, min(marks, default=0))
    skipped = (*slot.skipped, (slot.low_water, start)) if start > slot.low_water else slot.skipped
    return replace(
        slot,
        active=True,
        confirmed=False,
        since=table.roster.version + 1,
        start=start,
        low_water=start,
        next=start,
        skipped=skipped,
    )


def _confirm(table: Table) -> Table:
    """Let a replica begin once every shard has it in its roster."""
    if all(slot.confirmed or not slot.active for slot in table.slots):
        return table
    known = min(status.roster if status is not None else -1 for status in table.index.statuses)
    return table.with_slots(
        replace(slot, confirmed=True) if slot.active and not slot.confirmed and slot.since <= known else slot
        for slot in table.slots
    )


def _warming_up(table: Table) -> bool:
    return table.pool.used < table.spec.warmup


def _first_staffed(table: Table) -> int:
    return next(i for i, slot in enumerate(table.slots) if slot.staffed)


def _batches_left(table: Table) -> bool:
    pool = table.pool
    return not table.stopping and (bool(pool.returned) or pool.fresh < table.spec.batches)


def _take(pool: BatchPool, count: int, end: int) -> tuple[BatchPool, tuple[int, ...]]:
    """Take batches, those given back first."""
    again = pool.returned[:count]
    stop = min(end, pool.fresh + count - len(again))
    fresh = tuple(range(pool.fresh, stop))
    rest = replace(pool, returned=pool.returned[len(again) :], fresh=max(pool.fresh, stop))
    return rest, (*again, *fresh)


# --- synchronous ---------------------------------------------------------------------------------------------------


def _lease_steps(table: Table) -> Transition[Table]:
    table, done = _commit(table)
    table = table.with_slots(
        slot
        if slot.active == slot.staffed and slot.confirmed
        else replace(slot, active=slot.staffed, confirmed=True)
        for slot in table.slots
    )
    staffed = [i for i, slot in enumerate(table.slots) if slot.staffed]
    leased = {task.update.slot for slot in table.slots for task in slot.leases}
    if not staffed or table.committed >= table.spec.steps:
        return table.enrolled(), done
    for part in range(len(table.slots)):
        if part in leased or table.safe_everywhere(part):
            continue
        least = min(staffed, key=lambda i: (len(table.slots[i].leases), i))
        table = _lease_part(table, part if part in staffed else least, part)
    return table.enrolled(), done


def _lease_part(table: Table, index: int, part: int) -> Table:
    batch = table.committed * len(table.slots) + part
    task = Task(Update(part, table.committed), (batch,))
    slot = table.slots[index]
    return table.with_slot(index, replace(slot, leases=(*slot.leases, task)))


def _commit(table: Table) -> Transition[Table]:
    """Commit the step if all its parts are safe everywhere, and nobody validates the one before.

    A checkpoint of this very step may hold the next one up.
    """
    ends = table.stopping or table.hopeless_since is not None
    held = ends and (table.pending is None or table.committed == table.pending.at)
    held = held or table.validation is not None
    complete = all(table.safe_everywhere(part) for part in range(len(table.slots)))
    norms = _norms(table) if complete and table.spec.norms else ()
    if held or not complete or norms is None or table.committed >= table.spec.steps:
        return table, ()
    pool = replace(table.pool, used=(table.committed + 1) * len(table.slots))
    table = replace(table, pool=pool).with_committed(table.committed + 1, norms)
    table = table.with_slots(replace(slot, leases=()) for slot in table.slots)
    return table, (Note(f"step {table.committed} of {table.spec.steps} is committed", routine=True),)


def _norms(table: Table) -> tuple[float, ...] | None:
    """Return the squared norms of the step to be committed next, those of all shards in their order; None if any lacks."""
    found = [
        status.norms
        for status in table.index.statuses
        if status is not None and status.committed == table.committed and status.norms
    ]
    return tuple(map(sum, zip(*found, strict=True))) if len(found) == len(table.shards) else None
