"""Checkpoints: all shards save, then the manifest is committed.

    wanted --> CheckpointRequest to all primaries --> Saved(digest) from all --> CommitManifest --> ManifestWritten

A crash anywhere before the rename leaves the last checkpoint as it was. Synchronous, all shards save at the same step.
Asynchronous, each saves its own version: leases of updates that not all shards have are in the manifest. The last one
of a run that is stopped waits until there are none, that of a run that is given up (deaths.py) for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .events import ManifestWritten
from .instructions import CommitManifest, Finish, Instruction, Note
from .manifest import Manifest, SlotRecord
from .messages import CheckpointRequest, Saved, Task
from .seen import Seen
from .table import Pending, Slot, Step, Table


def save(table: Table, now: float) -> Step:
    """Begin a checkpoint if one is due, gather its parts, commit it when they are all there."""
    if table.finished or not table.begun:
        return table, ()
    if table.pending is None:
        at = table.committed + (not table.ending) if table.spec.synchronous else None
        return (_begin(table, at), ()) if _due(table) else (table, ())
    return _gather(table, table.pending)


def begin_last(table: Table) -> Table:
    """Begin a checkpoint of a run in which no step is done any more: of what all shards have already."""
    if not table.begun or table.pool.used == (table.manifest.used if table.manifest is not None else 0):
        return table
    if table.pending is not None and table.pending.at in (None, table.committed):
        return table
    return _begin(_forget(table), table.committed if table.spec.synchronous else None)


def written(table: Table, event: ManifestWritten) -> Step:
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


def manifest_of(table: Table, pending: Pending) -> Manifest:
    """Return the manifest of a checkpoint, as of now."""
    id, run, pool = pending.id, table.spec.run, table.pool
    parts = [pending.parts[i] for i in range(table.spec.tiles)]
    digests = tuple(part.digest or "" for part in parts)
    if pending.at is not None:
        records = (SlotRecord(0, ()),) * len(table.slots)
        return Manifest(id, run, pending.at, digests, records, 0, (), pending.at * len(table.slots))
    tables = [part.seen for part in parts if part.seen is not None]
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


def _split(slot: Slot, tables: list[Seen]) -> _Split:
    """Sort out what is under way: numbers without a gap up to `next` can go on; before a gap, which a lapse leaves, not."""
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


def _held_by(task: Task, tables: list[Seen]) -> int:
    return sum(task.update in table for table in tables)


def _due(table: Table) -> bool:
    every, used = table.spec.checkpoint, table.pool.used
    periodic = every > 0 and used - table.marked >= every
    # With all steps committed only the last checkpoint, which ends the run, is still to come.
    over = table.spec.synchronous and table.committed == table.spec.steps
    return table.hopeless_since is None and (table.ending or (not over and (table.wanted or periodic)))


def _begin(table: Table, at: int | None) -> Table:
    id = table.checkpoints + 1
    return replace(
        table, pending=Pending(id, at, table.ending), checkpoints=id, wanted=False, marked=table.pool.used
    )


def _gather(table: Table, pending: Pending) -> Step:
    saved = {i: part for i in range(table.spec.tiles) if (part := _saved(table, i, pending.id)) is not None}
    failed = next((part for part in saved.values() if part.digest is None), None)
    if failed is not None:
        return _abandon(table, pending, failed.reason)
    pending = replace(pending, parts={**saved, **pending.parts})
    if pending.writing is not None or len(pending.parts) < table.spec.tiles:
        return replace(table, pending=pending), ()
    manifest = manifest_of(table, pending)
    return replace(table, pending=replace(pending, writing=manifest)), (CommitManifest(manifest),)


def _saved(table: Table, shard: int, id: int) -> Saved | None:
    status = table.status(shard)
    return status.saved if status is not None and status.saved is not None and status.saved.id == id else None


def _abandon(table: Table, pending: Pending, reason: str) -> Step:
    """Go on without; a run that was to end here ends with the checkpoint that it has."""
    note = Note(f"checkpoint {pending.id} could not be written: {reason}")
    table = _forget(table)
    return _finish(table, table.manifest, (note,)) if pending.final else (table, (note,))


def _forget(table: Table) -> Table:
    slots = tuple(replace(slot, kept=()) for slot in table.slots)
    return replace(table, pending=None, slots=slots)


def _finish(table: Table, manifest: Manifest | None, done: tuple[Instruction, ...]) -> Step:
    return replace(table, finished=True), (*done, Finish(manifest))


def resumed(record: SlotRecord, tiles: int) -> Slot:
    """Return a replica slot as a checkpoint has it: its leases are computed again where shards lack them."""
    floor = record.leases[0].update.number if record.leases else record.next
    return Slot(
        (None,) * tiles,
        generation=record.generation,
        floor=floor,
        start=floor,
        next=record.next,
        leases=record.leases,
        active=bool(record.leases),
        skipped=((0, floor),),  # these are in the checkpoint, or were declared lost before it
    )
