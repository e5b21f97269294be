"""Checkpoints: all shards save, then the manifest is committed.

    wanted --> CheckpointRequest to all primaries --> Saved(digest) from all --> CommitManifest --> ManifestWritten

A crash anywhere before the rename leaves the last checkpoint as it was. Synchronous, all shards save at the same step.
Asynchronous, each saves its own version: leases of updates that some shards may have and others not are in the manifest.
"""

from __future__ import annotations

from dataclasses import replace

from .events import ManifestWritten
from .instructions import CommitManifest, Finish, Instruction, Note
from .manifest import Manifest, SlotRecord
from .messages import CheckpointRequest, Saved, Task
from .table import Pending, Slot, Step, Table


def save(table: Table, now: float) -> Step:
    """Begin a checkpoint if one is due, gather its parts, commit it when they are all there."""
    if table.finished or not table.begun:
        return table, ()
    if table.pending is None:
        return (_begin(table), ()) if _due(table) else (table, ())
    return _gather(table, table.pending)


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
    """Return what the primaries are to save."""
    return None if table.pending is None else CheckpointRequest(table.pending.id, table.pending.at)


def manifest_of(table: Table, pending: Pending) -> Manifest:
    """Return what a checkpoint consists of, as of now."""
    id, run, pool = pending.id, table.spec.run, table.pool
    digests = tuple(pending.digests[i] for i in range(table.spec.tiles))
    if pending.at is not None:
        records = (SlotRecord(0, ()),) * len(table.slots)
        return Manifest(id, run, pending.at, digests, records, 0, (), pending.at * len(table.slots))
    split = [_split(slot) for slot in table.slots]
    records = tuple(SlotRecord(s.next, tasks) for s, (_, tasks) in zip(table.slots, split, strict=True))
    orphans = tuple(batch for batches, _ in split for batch in batches)
    kept = sum(len(task.batches) for slot in table.slots for task in slot.kept)
    returned = tuple(sorted((*pool.returned, *orphans)))
    return Manifest(id, run, None, digests, records, pool.fresh, returned, pool.used - kept)


def _split(slot: Slot) -> tuple[tuple[int, ...], tuple[Task, ...]]:
    """Return the batches of a slot that go back in a resumed run, and the tasks that it goes on with.

    Numbers without a gap up to `next` can go on; before a gap, which a lapse leaves, they cannot.
    """
    tasks = (*slot.kept, *slot.leases)
    first = len(tasks)
    while first and tasks[first - 1].update.number == slot.next - (len(tasks) - first) - 1:
        first -= 1
    return tuple(batch for task in tasks[:first] for batch in task.batches), tasks[first:]


def _due(table: Table) -> bool:
    every, used = table.spec.checkpoint, table.pool.used
    periodic = every > 0 and used - table.marked >= every
    return table.wanted or table.stopping or table.complete or periodic


def _begin(table: Table) -> Table:
    final = table.stopping or table.complete
    at = table.committed + (not final) if table.spec.synchronous else None
    if at is not None:
        at = min(at, table.spec.steps)
    id = table.checkpoints + 1
    return replace(
        table, pending=Pending(id, at, final), checkpoints=id, wanted=False, marked=table.pool.used
    )


def _gather(table: Table, pending: Pending) -> Step:
    saved = {i: part for i in range(table.spec.tiles) if (part := _saved(table, i, pending.id)) is not None}
    failed = next((part for part in saved.values() if part.digest is None), None)
    if failed is not None:
        return _abandon(table, pending, failed.reason)
    new = {i: part.digest for i, part in saved.items() if part.digest is not None}
    pending = replace(pending, digests={**new, **pending.digests})
    if pending.writing is not None or len(pending.digests) < table.spec.tiles:
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
        floor=floor,
        start=floor,
        next=record.next,
        leases=record.leases,
        active=bool(record.leases),
        skipped=((0, floor),),  # these are in the checkpoint, or were declared lost before it
    )
