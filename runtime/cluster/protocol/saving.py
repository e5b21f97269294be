"""Checkpoints: all shards save, then the manifest is committed.

    requested --> CheckpointRequest to all primaries --> SavedShard(digest) from all --> CommitManifest --> ManifestWritten

A crash anywhere before the rename leaves the last checkpoint as it was. Synchronous, all shards save at the same step.
Asynchronous, each saves its own version: leases of updates that not all shards have are in the manifest. The last
checkpoint of a run that is stopped waits until there are none; that of a run that is given up (deaths.py) does not wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .events import ManifestWritten
from .instructions import CommitManifest, Finish, Instruction, Note, Transition
from .manifest import Manifest, SlotRecord
from .messages import CheckpointRequest, Task
from .table import PendingCheckpoint, Slot, Table
from .updates import AppliedUpdates


def save(table: Table, now: float) -> Transition[Table]:
    """Begin a checkpoint if one is due, gather its parts, commit it when they are all there."""
    if table.finished or not table.begun:
        return table, ()
    if table.pending is None:
        at = table.committed + (not table.ending) if table.spec.synchronous else None
        return (_begin(table, at), ()) if _due(table) else (table, ())
    return _gather(table, table.pending)


def begin_last(table: Table) -> Table:
    """Begin a checkpoint of a run that makes no progress: of what all shards have already."""
    if not table.begun or table.pool.used == (table.manifest.used if table.manifest is not None else 0):
        return table
    if table.pending is not None and table.pending.at in (None, table.committed):
        return table
    return _begin(_forget(table), table.committed if table.spec.synchronous else None)


def written(table: Table, event: ManifestWritten) -> Transition[Table]:
    """Count a checkpoint whose manifest is committed; the last one ends the run."""
    pending = table.pending
    manifest = pending.writing if pending is not None else None
    if pending is None or manifest is None or manifest.id != event.id:
        return table, ()
    if event.error:
        return _abandon(table, pending, event.error)
    table = _forget(replace(table, manifest=manifest))
    note = Note(f"checkpoint {manifest.id} is committed")
    return _finish(table, manifest, (note,)) if pending.final else (table, (note,))


def request(table: Table) -> CheckpointRequest | None:
    """Return the request for the primaries."""
    return None if table.pending is None else CheckpointRequest(table.pending.id, table.pending.at)


def manifest_of(table: Table, pending: PendingCheckpoint) -> Manifest:
    """Return the manifest of a checkpoint, as of now."""
    id, run, pool = pending.id, table.spec.run, table.pool
    parts = [pending.parts[i] for i in range(table.spec.shards)]
    digests = tuple(part.digest or "" for part in parts)
    if pending.at is not None:
        records = (SlotRecord(0, ()),) * len(table.slots)
        return Manifest(id, run, pending.at, digests, records, 0, (), pending.at * len(table.slots))
    tables = [AppliedUpdates.of(part.updates) for part in parts if part.updates is not None]
    split = [_split(slot, tables) for slot in table.slots]
    records = tuple(
        SlotRecord(slot.next, found.onward, slot.generation)
        for slot, found in zip(table.slots, split, strict=True)
    )
    orphans = tuple(batch for found in split for task in found.returned for batch in task.batches)
    kept = sum(len(task.batches) for slot in table.slots for task in slot.kept)
    held = sum(len(task.batches) for found in split for task in found.held)
    torn = sum(_held_by(task, tables) > 0 for found in split for task in (*found.returned, *found.onward))
    returned = tuple(sorted((*pool.returned, *orphans)))
    return Manifest(id, run, None, digests, records, pool.fresh, returned, pool.used - kept + held, torn)


@dataclass(frozen=True, slots=True)
class _Split:
    """Tasks of a slot in a checkpoint: `held` by all shards, `returned` to the pool, `onward`: leased when it goes on."""

    held: tuple[Task, ...]
    returned: tuple[Task, ...]
    onward: tuple[Task, ...]


def _split(slot: Slot, tables: list[AppliedUpdates]) -> _Split:
    """Sort the tasks under way: those up to `next` without a gap can go on; those before a gap, left by a lapse, cannot."""
    tasks = (*slot.kept, *slot.leases)
    first = len(tasks)
    while first and tasks[first - 1].update.number == slot.next - (len(tasks) - first) - 1:
        first -= 1
    whole = [_held_by(task, tables) == len(tables) for task in tasks]
    held = [task for task, all_have in zip(tasks[:first], whole, strict=False) if all_have]
    returned = tuple(task for task in tasks[:first] if task not in held)
    while first < len(tasks) and whole[first]:
        held.append(tasks[first])
        first += 1
    return _Split(tuple(held), returned, tasks[first:])


def _held_by(task: Task, tables: list[AppliedUpdates]) -> int:
    return sum(task.update in table for table in tables)


def _due(table: Table) -> bool:
    every, used = table.spec.checkpoint, table.pool.used
    periodic = every > 0 and used - table.marked >= every
    # With all steps committed only the last checkpoint, which ends the run, is still to come.
    over = table.spec.synchronous and table.committed == table.spec.steps
    return table.hopeless_since is None and (
        table.ending or (not over and (table.checkpoint_requested or periodic))
    )


def _begin(table: Table, at: int | None) -> Table:
    id = table.checkpoints + 1
    return replace(
        table,
        pending=PendingCheckpoint(id, at, table.ending),
        checkpoints=id,
        checkpoint_requested=False,
        marked=table.pool.used,
    )


def _gather(table: Table, pending: PendingCheckpoint) -> Transition[Table]:
    saved = {
        shard: status.saved
        for shard, status in enumerate(table.index.statuses)
        if status is not None and status.saved is not None and status.saved.id == pending.id
    }
    failed = next((part for part in saved.values() if part.digest is None), None)
    if failed is not None:
        return _abandon(table, pending, failed.reason)
    if saved.keys() - pending.parts.keys():
        pending = replace(pending, parts={**saved, **pending.parts})
    if pending.writing is not None or len(pending.parts) < table.spec.shards:
        return replace(table, pending=pending), ()
    manifest = manifest_of(table, pending)
    return replace(table, pending=replace(pending, writing=manifest)), (CommitManifest(manifest),)


def _abandon(table: Table, pending: PendingCheckpoint, reason: str) -> Transition[Table]:
    """Drop the checkpoint; a run that was to end with it ends with the last one."""
    note = Note(f"checkpoint {pending.id} could not be written: {reason}")
    table = _forget(table)
    return _finish(table, table.manifest, (note,)) if pending.final else (table, (note,))


def _forget(table: Table) -> Table:
    slots = (replace(slot, kept=()) if slot.kept else slot for slot in table.slots)
    return replace(table, pending=None).with_slots(slots)


def _finish(table: Table, manifest: Manifest | None, done: tuple[Instruction, ...]) -> Transition[Table]:
    return replace(table, finished=True), (*done, Finish(manifest))


def resumed(record: SlotRecord, tiles: int) -> Slot:
    """Return a replica slot from a checkpoint: its leases are computed again where shards lack them."""
    low_water = record.leases[0].update.number if record.leases else record.next
    return Slot(
        (None,) * tiles,
        generation=record.generation,
        low_water=low_water,
        start=low_water,
        next=record.next,
        leases=record.leases,
        active=bool(record.leases),
        skipped=((0, low_water),),  # these are in the checkpoint, or were declared lost before it
    )
