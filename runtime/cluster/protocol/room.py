"""Whether roles fit into the memory of workers: the plan's bytes of a worker's roles must be below 0.9 of it.

    a worker's own limit    its roles                        <=  0.9 x limit
    what several share      the roles of all that share it   <=  0.9 x (what is left now + what they hold already)

A worker whose memory is not known has room for everything. Only new roles are weighed: none is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import ceil

from .instructions import Instruction, Note, Transition
from .messages import WorkerMemory
from .table import Table

SHARE = 0.9


def for_tile(table: Table, tile: int) -> int:
    """Return the bytes of a tile, and those of its shard if nobody holds it yet: it is best placed beside it."""
    if not table.spec.needs:
        return 0
    need, shard = table.spec.needs[tile], table.shards[tile]
    return need.tile + (need.server if shard.primary is None and not shard.ready else 0)


def for_server(table: Table, shard: int) -> int:
    return table.spec.needs[shard].server if table.spec.needs else 0


def missing(table: Table, worker: str, more: int) -> int:
    """Return how many bytes a worker lacks for its roles and `more` bytes of others; 0: they fit."""
    memory = table.members[worker].memory
    if memory is None or not more:
        return 0
    shared = {
        name: m.memory for name, m in table.members.items() if m.memory and m.memory.pool == memory.pool
    }
    lacking = sum(_planned(table, name) for name in shared) + more - SHARE * _total(shared.values())
    if memory.limit is not None:
        lacking = max(lacking, _planned(table, worker) + more - SHARE * memory.limit)
    return max(0, ceil(lacking))


def least_missing(table: Table, workers: Iterable[str], more: int) -> int:
    """Return the fewest bytes that a worker lacks; 0 if they fit somewhere, or there is no worker."""
    return min((missing(table, worker, more) for worker in workers), default=0)


def _total(memories: Iterable[WorkerMemory]) -> int:
    memories = tuple(memories)
    return min(memory.free for memory in memories) + sum(memory.held for memory in memories)


def _planned(table: Table, worker: str) -> int:
    """Return the plan's bytes of a worker's roles."""
    tiles = sum(
        table.spec.needs[tile].tile
        for slot in table.slots
        for tile, name in enumerate(slot.tiles)
        if name == worker
    )
    servers = sum(
        need.server * ((shard.primary == worker) + (shard.standby == worker))
        for need, shard in zip(table.spec.needs, table.shards, strict=True)
    )
    return tiles + servers


# --- what has none -------------------------------------------------------------------------------------------------


def short_of_replica(table: Table, index: int) -> int:
    """Return the bytes missing for a replica's vacant tiles; 0: memory is not what it lacks."""
    usable = [name for name, _ in table.usable()]
    vacant = [tile for tile, name in enumerate(table.slots[index].tiles) if name is None]
    return max((least_missing(table, usable, for_tile(table, tile)) for tile in vacant), default=0)


def short_of_server(table: Table) -> int:
    """Return the bytes missing for a primary, or for a standby that acknowledgements wait for."""
    return max((_short_of_server(table, index) for index in range(len(table.shards))), default=0)


def _short_of_server(table: Table, index: int) -> int:
    shard, need = table.shards[index], for_server(table, index)
    usable = [name for name, _ in table.usable() if name != shard.primary]
    waits = table.spec.durability == "standby" and shard.standby is None
    if (shard.primary is None and not shard.ready) or (shard.primary is not None and waits):
        return least_missing(table, usable, need)
    return 0


def short(table: Table) -> int:
    """Return the bytes missing for the run to go on at all."""
    if not table.begun or table.finished:
        return 0
    staffed = any(slot.staffed for slot in table.slots)
    replicas = () if staffed else (short_of_replica(table, index) for index in range(len(table.slots)))
    return max(short_of_server(table), min(replicas, default=0))


def rooms(table: Table) -> Iterator[tuple[str, int]]:
    """Yield the name of each worker whose memory is known, and its bytes for roles."""
    for member in table.members.values():
        if member.memory is not None:
            pool = _total(
                m.memory for m in table.members.values() if m.memory and m.memory.pool == member.memory.pool
            )
            own = pool if member.memory.limit is None else min(pool, member.memory.limit)
            yield member.place, int(SHARE * own)


def said(table: Table) -> Transition[Table]:
    """Note once of each replica that it waits for memory."""
    done: tuple[Instruction, ...] = ()
    for index, slot in enumerate(table.slots):
        lacking = 0 if slot.staffed or not table.begun else short_of_replica(table, index)
        if lacking and not slot.short:
            done += (Note(f"replica {index} waits: {lacking:,} bytes of memory are missing for its tiles"),)
        if lacking != slot.short:
            table = table.with_slot(index, replace(slot, short=lacking))
    return table, done
