"""Validations: which replica validates, when, and what becomes of what its tiles find.

    due --> order to the tiles of a replica --> ValidatedPart from all --> Judge --> Judged --+--> over
                                                                                             best: keep
    over <-- BestKept <-- KeepBest <-- WrittenParams from all <-- order to keep <-------------+

The first replica that all tiles are there for validates, between two of its updates; the others go on. A synchronous step
is not committed meanwhile, so whoever validates fetches the parameters of exactly that step. If a tile is lost, all of it
is done again, by the next generation or by another replica. Of an asynchronous run's validations that become due
meanwhile, the newest is made. A run that is to stop leaves a validation out, which is made when it goes on.
"""

from __future__ import annotations

from dataclasses import replace

from . import leasing
from .events import BestKept, Judged
from .instructions import Instruction, Judge, KeepBest, Note, Transition
from .table import PendingValidation, Table
from .validations import ValidatedPart, ValidationOrder


def validate(table: Table, now: float) -> Transition[Table]:
    """Begin a validation if one is due, or go on with the one under way."""
    pending = table.validation
    if table.finished or not table.begun:
        return table, ()
    if pending is None:
        return (table, ()) if table.stopping or not table.validation_due else _begin(table)
    if pending.stage in ("judging", "committing"):
        return table, ()
    slot = table.slots[pending.slot]
    lost = not slot.staffed or slot.generation != pending.generation
    if table.stopping and (lost or pending.stage == "computing"):
        return replace(table, validation=None), ()
    return _begin(table) if lost else _gather(table, pending)


def judged(table: Table, event: Judged) -> Table:
    """Go on with a validation whose parameters are the best so far; others are over."""
    pending = table.validation
    if pending is None or pending.stage != "judging" or pending.order.id != event.id:
        return table
    if not event.best:
        return _over(table, pending)
    order = replace(pending.order, keep=True)
    return replace(table, validation=replace(pending, order=order, stage="writing"))


def kept(table: Table, event: BestKept) -> Table:
    pending = table.validation
    if pending is None or pending.stage != "committing" or pending.order.id != event.id:
        return table
    return _over(table, pending)


def _over(table: Table, pending: PendingValidation) -> Table:
    return replace(table, validation=None, validated=pending.order.step)


def _begin(table: Table) -> Transition[Table]:
    """Order the validation that is due, or that under way, from the first replica that is complete."""
    before, index = table.validation, next((i for i, slot in enumerate(table.slots) if slot.staffed), None)
    if index is None:
        return replace(table, validation=None), ()
    slot, synchronous = table.slots[index], table.spec.synchronous
    if synchronous and before is not None and before.slot != index:
        # Its tiles may have begun the step already, each as far as it is: they all begin again, with the validation.
        slot = replace(slot, generation=slot.generation + 1)
    if not synchronous and not slot.active:
        slot = leasing.activated(table, slot)
    id, step = table.validations + 1, table.validation_due if before is None else before.order.step
    order = ValidationOrder(id, step, table.committed if synchronous else slot.next)
    table = replace(table.with_slot(index, slot), validations=id).enrolled()
    note = Note(f"replica {index} validates the parameters after step {step:,}")
    return replace(table, validation=PendingValidation(order, index, slot.generation)), (note,)


def _gather(table: Table, pending: PendingValidation) -> Transition[Table]:
    parts = _parts(table, pending)
    if len(parts) < table.spec.tiles:
        return table, ()
    if pending.stage == "computing":
        judge: Instruction = Judge(pending.order, parts)
        return replace(table, validation=replace(pending, stage="judging")), (judge,)
    written = [part.written for part in parts if part.written is not None]
    failed = next((found for found in written if found.reason), None)
    if failed is None and len(written) < len(parts):
        return table, ()
    digests = () if failed is not None else tuple(digest for found in written for digest in found.digests)
    keep = KeepBest(pending.order, digests, "" if failed is None else failed.reason)
    return replace(table, validation=replace(pending, stage="committing")), (keep,)


def _parts(table: Table, pending: PendingValidation) -> tuple[ValidatedPart, ...]:
    """Return what the tiles have reported of a validation, in their order."""
    statuses = [status for status in table.tile_statuses(pending.slot) if status is not None]
    found = [status.validated for status in statuses if status.validated is not None]
    return tuple(part for part in found if part.id == pending.order.id)
