"""Whether roles fit into the memory of workers: the plan's bytes of a worker's roles must be below 0.9 of it.

    a worker's own limit    its roles                        <=  0.9 x limit
    what several share      the roles of all that share it   <=  0.9 x (what is left now + what they hold already)

A worker whose memory is not known has room for everything. Only new roles are weighed: none is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil

from .instructions import Instruction, Note, Transition
from .table import Table

SHARE = 0.9
Pools = Mapping[str, Sequence[str]]
"""The names of the workers that share some memory, by the name of what they share."""


def for_tile(table: Table, tile: int) -> int:
    """Return the bytes of a tile, and of its share of those of its shards that nobody holds yet: they are best beside it."""
    if not table.spec.needs:
        return 0
    need, shards = table.spec.needs[tile], [table.shards[shard] for shard in table.spec.shards_of(tile)]
    unheld = sum(shard.primary is None and not shard.ready for shard in shards)
    return need.tile + need.server * ceil(unheld / table.spec.replicas)


def for_server(table: Table, shard: int) -> int:
    return table.spec.needs[table.spec.tile_of(shard)].server if table.spec.needs else 0


def pools(table: Table) -> Pools:
    """Return the workers of each pool of memory."""
    found: dict[str, list[str]] = {}
    for name, member in table.members.items() if table.spec.needs else ():
        if member.memory is not None:
            found.setdefault(member.memory.pool, []).append(name)
    return found


def missing(table: Table, pools: Pools, worker: str, more: int) -> int:
    """Return how many bytes a worker lacks for its roles and `more` bytes of others; 0: they fit."""
    memory = table.members[worker].memory
    if memory is None or not more:
        return 0
    shared = pools[memory.pool]
    lacking = sum(_planned(table, name) for name in shared) + more - SHARE * _total(table, shared)
    if memory.limit is not None:
        lacking = max(lacking, _planned(table, worker) + more - SHARE * memory.limit)
    return max(0, ceil(lacking))


def least_missing(table: Table, workers: Iterable[str], more: int) -> int:
    """Return the fewest bytes that a worker lacks; 0 if they fit somewhere, or there is no worker."""
    least, found = None, pools(table) if more else {}
    for worker in workers:
        lacking = missing(table, found, worker, more)
        if not lacking:
            return 0
        least = lacking if least is None else min(least, lacking)
    return least or 0


def _total(table: Table, shared: Iterable[str]) -> int:
    memories = [memory for name in shared if (memory := table.members[name].memory) is not None]
    return min(memory.free for memory in memories) + sum(memory.held for memory in memories)


def _planned(table: Table, worker: str) -> int:
    """Return the plan's bytes of a worker's roles."""
    needs, roles = table.spec.needs, table.roles(worker)
    servers = sum(for_server(table, shard) for shard in (*roles.primaries, *roles.standbys))
    return servers + sum(needs[tile].tile for _, tile in roles.tiles)


# --- what has none -------------------------------------------------------------------------------------------------


def short_of_replica(table: Table, index: int) -> int:
    """Return the bytes missing for a replica's vacant tiles; 0: memory is not what it lacks."""
    if not table.spec.needs:
        return 0
    usable = [name for name, _ in table.usable()]
    vacant = (tile for tile, name in enumerate(table.slots[index].tiles) if name is None)
    return least_missing(table, usable, max((for_tile(table, tile) for tile in vacant), default=0))


def short_of_server(table: Table) -> int:
    """Return the bytes missing for a primary, or for a standby that acknowledgements wait for."""
    if not table.spec.needs:
        return 0
    return max((_short_of_server(table, index) for index in range(len(table.shards))), default=0)


def _short_of_server(table: Table, index: int) -> int:
    shard = table.shards[index]
    waits = table.spec.durability == "standby" and shard.standby is None
    if (shard.primary is None and not shard.ready) or (shard.primary is not None and waits):
        usable = (name for name, _ in table.usable() if name != shard.primary)
        return least_missing(table, usable, for_server(table, index))
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
    found = pools(table)
    for _, member in sorted(table.members.items()):
        if member.memory is not None:
            pool = _total(table, found[member.memory.pool])
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
