"""Which worker is primary and which standby of a shard.

    no primary, lease over --+-- standby ready ----> promoted, term rises
                             +-- none -------------> restored from the newest checkpoint, term rises, loss declared
    no standby ----------------> chosen, gets snapshot and log, ready when it has all that was acknowledged
    standby's worker drains ---> another one; with no other worker it stays, or acknowledgements would wait for ever
    primary's worker drains ---> with a standby ready the lease is not renewed, then as above; what the old primary
                                 holds stays in reserve until the new one has a standby
    suspected link to a tile --> the tile moves (staffing.py); with no room for that, as if the primary's worker drained
              to the standby --> another standby; with none to be had, the primary moves to this one likewise

A lost shard of an asynchronous run is restored alone, and its replicas begin again with what it may lack. Synchronous,
all shards go back to the checkpoint's step together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from math import inf

from .deaths import rolled_back
from .instructions import DeclareLost, DeclareRollback, Instruction, Note, Transition
from .messages import Promoted, Reinstated, Restored
from .server_choice import ServerChoice, keeper_of, reaches, roomy, unserved
from .table import Member, ServerPair, Table
from .updates import AppliedUpdates, Update

SOON = 0.001
"""Seconds after the end of a lease: clocks are read again then, and round."""


def repair(table: Table, now: float) -> Transition[Table]:
    """Fill the vacant roles of all pairs."""
    if not table.begun:
        return table, ()
    done: tuple[Instruction, ...] = ()
    choice = ServerChoice()
    for index in range(len(table.shards)):
        table, learned = _note_ready(table, index)
        table, declared = _declare(table, index)
        table, repaired = _fill_primary(table, index, now, choice)
        table, chosen = _choose_standby(table, index, choice)
        done += learned + declared + repaired + chosen
    return table, done


def vacate(table: Table, worker: str) -> Table:
    """Take a worker that is gone out of all pairs."""
    roles = table.roles(worker)
    for index in sorted({*roles.primaries, *roles.standbys, *roles.reserves}):
        shard = table.shards[index]
        if worker == shard.primary:
            table = table.with_shard(index, replace(shard, primary=None, missing=worker, retiring=False))
        elif worker == shard.standby:
            table = table.with_shard(index, replace(shard, standby=None, ready=False, retiring=False))
        elif worker == keeper_of(shard):
            table = table.with_shard(index, replace(shard, reserve=None))
    return table


def waits_until(table: Table, now: float) -> float:
    """Return when the next lease is over that somebody waits for, or a lost worker is given up."""
    waiting = [
        table.lease_ends[index]
        for index, shard in enumerate(table.shards)
        if shard.primary is None or shard.retiring
    ]
    times = (*waiting, *(end + table.spec.times.grace_period for end in waiting))
    return min((at + SOON for at in times if at + SOON > now), default=inf)


def adopt(table: Table, worker: str, member: Member) -> Table:
    """Give a worker that was counted as lost its shards back, unless they were taken over."""
    for status in member.primaries:
        shard = table.shards[status.shard]
        if shard.primary is None and shard.term == status.term and not shard.blank:
            table = table.with_shard(status.shard, replace(shard, primary=worker, missing=None))
    return table


def _note_ready(table: Table, index: int) -> Transition[Table]:
    shard, status = table.shards[index], table.status(index)
    if status is None or status.ready != shard.incarnation or shard.standby is None or shard.ready:
        return table, ()
    note = Note(f"the standby of shard {index} on {shard.standby} is ready")
    return table.with_shard(index, replace(shard, ready=True, reserve=None)), (note,)


def _fill_primary(table: Table, index: int, now: float, choice: ServerChoice) -> Transition[Table]:
    shard = table.shards[index]
    if shard.primary is not None:
        leaves = _stays(table, shard) and (table.members[shard.primary].draining or _lonely(table, index))
        if leaves and not shard.retiring:
            table = table.with_shard(index, replace(shard, retiring=True))
        if not shard.retiring:
            return table, ()
    if now <= table.lease_ends[index]:
        return table, ()
    if shard.ready:
        return _promote(table, index)
    if shard.reserve is not None:
        return _reinstate(table, index, *shard.reserve)
    return _restore(table, index, choice) if _given_up(table, index, now) else (table, ())


def _stays(table: Table, shard: ServerPair) -> bool:
    """Tell whether a standby could be promoted, and is not to leave itself."""
    return shard.ready and shard.standby is not None and not table.members[shard.standby].draining


def _given_up(table: Table, index: int, now: float) -> bool:
    """Tell whether the worker of the only copy is presumed dead: a stopped process may go on."""
    shard = table.shards[index]
    dead = shard.missing is None or shard.missing in table.gone
    return dead or shard.blank or now > table.lease_ends[index] + table.spec.times.grace_period


def _promote(table: Table, index: int) -> Transition[Table]:
    shard = table.shards[index]
    promoted = replace(
        shard,
        term=shard.term + 1,
        primary=shard.standby,
        missing=None,
        standby=None,
        ready=False,
        origin=Promoted(shard.incarnation),
        retiring=False,
        reserve=_reserve(table, shard),
    )
    note = Note(f"the standby of shard {index} on {shard.standby} is promoted to term {promoted.term}")
    return table.with_shard(index, promoted), (note,)


def _reserve(table: Table, shard: ServerPair) -> tuple[str, int] | None:
    """Keep a retired primary, unless its successor may acknowledge alone what it would then lack."""
    kept = shard.retiring and shard.primary is not None and table.spec.durability == "standby"
    return (shard.primary, shard.term) if kept and shard.primary is not None else None


def _reinstate(table: Table, index: int, worker: str, term: int) -> Transition[Table]:
    """Give a shard back to its retired primary: without a standby the successor has acknowledged nothing."""
    shard = table.shards[index]
    reinstated = replace(
        shard,
        term=shard.term + 1,
        primary=worker,
        missing=None,
        origin=Reinstated(term),
        reserve=None,
    )
    note = Note(f"the retired primary of shard {index} on {worker} is called back, term {reinstated.term}")
    return table.with_shard(index, reinstated), (note,)


def _restore(table: Table, index: int, choice: ServerChoice) -> Transition[Table]:
    shard, worker = table.shards[index], choice.primary(table, index)
    if worker is None:
        return table, ()
    lost, checkpoint = not shard.blank, table.manifest.id if table.manifest else None
    if lost and table.spec.synchronous:
        return _roll_back(table, index)
    restored = ServerPair(
        shard.term + 1,
        shard.incarnation,
        worker,
        origin=Restored(checkpoint),
        blank=False,
        acknowledged=tuple(slot.low_water for slot in table.slots) if lost else None,
    )
    table = table.with_shard(index, restored)
    note = Note(f"shard {index} begins on {worker} with {_named(checkpoint)}, term {restored.term}")
    return (_begin_again(table) if lost else table), (note,)


def _begin_again(table: Table) -> Table:
    """Restart all replicas: the restored shard may lack updates under way."""
    return table.with_slots(
        replace(slot, generation=slot.generation + 1, start=max(slot.start, slot.low_water))
        for slot in table.slots
    ).enrolled()


def _roll_back(table: Table, index: int) -> Transition[Table]:
    step = table.manifest.step or 0 if table.manifest else 0
    checkpoint = table.manifest.id if table.manifest else None
    for number, shard in enumerate(table.shards):
        restored = ServerPair(
            shard.term + 1,
            shard.incarnation,
            shard.primary,
            origin=Restored(checkpoint),
            blank=shard.primary is None,
        )
        table = table.with_shard(number, restored)
    declared = DeclareRollback(index, checkpoint, step, table.committed)
    slots = [replace(slot, generation=slot.generation + 1, leases=()) for slot in table.slots]
    used = step * len(slots)
    pool = replace(table.pool, used=used)
    table = replace(table.with_slots(slots).with_committed(step), pool=pool, marked=used, pending=None)
    table = replace(table, validation=None, validated=min(table.validated, step))
    return rolled_back(table.enrolled()), (declared,)


def _declare(table: Table, index: int) -> Transition[Table]:
    """Declare the acknowledged updates that a restored shard lacks, once its heartbeat says which it has."""
    shard, status = table.shards[index], table.status(index)
    if shard.acknowledged is None or status is None or status.restored is None:
        return table, ()
    restored = AppliedUpdates.of(status.restored)
    lost = tuple(
        Update(slot, number)
        for slot, low_water in enumerate(shard.acknowledged)
        for number in range(restored.slots[slot].low_water, low_water)
        if _was_lost(table, restored, Update(slot, number))
    )
    assert isinstance(shard.origin, Restored)
    declared = DeclareLost(index, shard.origin.checkpoint, lost)
    return table.with_shard(index, replace(shard, acknowledged=None)), (declared,)


def _was_lost(table: Table, found: AppliedUpdates, update: Update) -> bool:
    skipped = any(first <= update.number < stop for first, stop in table.slots[update.slot].skipped)
    return update not in found and not skipped


def _choose_standby(table: Table, index: int, choice: ServerChoice) -> Transition[Table]:
    shard = table.shards[index]
    leaving = shard.standby is not None and table.members[shard.standby].draining
    if leaving and (shard.primary is None or table.spec.durability == "single"):
        shard = replace(shard, standby=None, ready=False, retiring=False)
        table = table.with_shard(index, shard)
    if shard.primary is None:
        return table, ()
    if shard.standby is not None and not leaving and not _replaceable(table, index, shard.primary):
        return table, ()
    worker = choice.standby(table, index, shard.primary)
    if worker is None and shard.standby is None:
        worker = _last_resort(table, index)
    if worker is None:
        return table, ()
    if leaving:
        shard = replace(shard, retiring=False)
    note = Note(f"the standby of shard {index} is to be filled on {worker}")
    reserve = shard.reserve if worker != keeper_of(shard) else None
    shard = replace(shard, standby=worker, ready=False, incarnation=shard.incarnation + 1, reserve=reserve)
    return table.with_shard(index, shard), (note,)


def _last_resort(table: Table, index: int) -> str | None:
    """Return a worker that was to leave: without a standby nothing would be acknowledged until another worker comes."""
    shard = table.shards[index]
    leaving = sorted(name for name, member in table.members.items() if member.draining and not member.drained)
    others = [name for name in leaving if name != shard.primary]
    if table.spec.durability == "single" or not others:
        return None
    return keeper_of(shard) if keeper_of(shard) in others else others[0]


# --- suspected links -----------------------------------------------------------------------------------------------


def hand_over(table: Table, shards: Iterable[int], avoided: Collection[str]) -> Transition[Table]:
    """Move primaries that few workers reach to their standbys, so that tiles find room."""
    done: tuple[Instruction, ...] = ()
    for index in shards if table.rules.part_servers else ():
        shard = table.shards[index]
        if shard.primary is None or shard.standby is None or not shard.ready or shard.retiring:
            continue
        reaches_more = unserved(table, index, shard.standby) < unserved(table, index, shard.primary)
        if reaches_more or (shard.primary in avoided and shard.standby not in avoided):
            table = table.with_shard(index, replace(shard, retiring=True))
            done += (Note(f"the primary of shard {index} is to move to {shard.standby}, which more reach"),)
    return table, done


def _lonely(table: Table, index: int) -> bool:
    """Tell whether a primary reaches neither its standby nor another candidate, and its standby would reach one."""
    shard = table.shards[index]
    if shard.primary is None or shard.standby is None or reaches(table, shard.primary, shard.standby):
        return False
    return not _partners(table, index, shard.primary) and bool(_partners(table, index, shard.standby))


def _replaceable(table: Table, index: int, primary: str) -> bool:
    """Tell whether a primary does not reach its standby, but another candidate."""
    shard = table.shards[index]
    return (
        not shard.retiring
        and not reaches(table, primary, shard.standby)
        and bool(_partners(table, index, primary))
    )


def _partners(table: Table, index: int, worker: str) -> list[str]:
    """Return other candidates for the standby of a primary on a worker."""
    shard = table.shards[index]
    others = [name for name in roomy(table, index) if name not in (shard.primary, shard.standby)]
    return [name for name in others if reaches(table, worker, name)]


def _named(checkpoint: int | None) -> str:
    return "the initial parameters" if checkpoint is None else f"checkpoint {checkpoint}"
