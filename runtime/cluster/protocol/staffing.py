"""Which workers compute which replica. A replica is one unit of failure.

a tile's worker is lost --+-- a worker has room ---> takes the tile; generation rises, all tiles begin again
                          +-- none ----------------> the replica lapses: its leases go back, its workers are free
a tile cannot reach another --+-- suspected link ---> one of the two moves, or the primary that it needs (servers.py)
                              +-- a lost exchange --> generation rises, same workers

One end of each suspected link is avoided: it gets no tiles, and gives its own away if need be. If there is no other room
it is used where it reaches all that a tile needs; failing that, all tiles of the replica are placed anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from . import room, servers
from .instructions import DeclareLapsed, Instruction, Note, Transition
from .links import shunned
from .ranking import Load, Ranking
from .table import Slot, Table


def staff(table: Table, now: float) -> Transition[Table]:
    """Assign the vacant tiles of all replicas, the most complete replicas first."""
    if not table.begun:
        return table, ()
    done: tuple[Instruction, ...] = ()
    avoided = shunned(table) if table.rules.part_tiles else ()
    order = sorted(range(len(table.slots)), key=lambda i: (table.slots[i].tiles.count(None), i))
    for index in order:
        table, more = _staff_slot(table, index, avoided)
        done += more
    table, lapsed = _make_room(table)
    table, said = room.said(table)
    return table.enrolled(), (*done, *lapsed, *said)


def vacate(table: Table, worker: str) -> Table:
    """Take a worker that is gone, or leaves, out of all replicas."""
    for index in sorted({slot for slot, _ in table.roles(worker).tiles}):
        slot = table.slots[index]
        tiles = tuple(None if name == worker else name for name in slot.tiles)
        table = table.with_slot(index, replace(slot, tiles=tiles))
    return table


def _staff_slot(table: Table, index: int, avoided: tuple[str, ...]) -> Transition[Table]:
    slot = table.slots[index]
    tiles = _parted(table, slot, avoided)
    if slot.staffed and tiles == slot.tiles:
        return _begin_again(table, index, slot)
    filled, vacant = _fill(table, index, tiles, avoided), [i for i, name in enumerate(tiles) if name is None]
    needed = [shard for tile in vacant for shard in table.spec.shards_of(tile)]
    handed: tuple[Instruction, ...] = ()
    if filled is None and avoided:
        table, handed = servers.hand_over(table, needed, avoided)
    awaited = bool(avoided) and any(table.shards[shard].retiring for shard in needed)
    if filled is None and avoided and not awaited:
        nobody = (None,) * len(tiles)
        choices = ((_without(tiles, avoided), avoided), (tiles, ()), (nobody, ()))
        fillings = (_fill(table, index, kept, excluded) for kept, excluded in choices)
        filled = next((filling for filling in fillings if filling is not None), None)
    if filled is not None:
        note = Note(f"replica {index} is computed by {', '.join(name or '' for name in filled)}")
        return table.with_slot(index, replace(slot, tiles=filled, generation=slot.generation + 1)), (note,)
    if slot.staffed and (awaited or not _others_compute(table, index)):
        table, again = _begin_again(table, index, slot)
        return table, handed + again
    if awaited or (slot.tiles.count(None) == len(slot.tiles) and not slot.active):
        return table, handed
    return _lapse(table, index, slot)


def _make_room(table: Table) -> Transition[Table]:
    """Let a replica lapse, if others compute, when there is no memory for a server that all wait for."""
    staffed = [index for index, slot in enumerate(table.slots) if slot.staffed]
    if len(staffed) < 2 or not room.short_of_server(table):
        return table, ()
    return _lapse(table, staffed[-1], table.slots[staffed[-1]])


def _begin_again(table: Table, index: int, slot: Slot) -> Transition[Table]:
    """Begin a replica's step again when its tiles lost an exchange."""
    if not table.index.progress[index].stuck:
        return table, ()
    note = Note(f"replica {index} lost an exchange between its tiles and begins its step again")
    return table.with_slot(index, replace(slot, generation=slot.generation + 1)), (note,)


def _others_compute(table: Table, index: int) -> bool:
    return any(slot.staffed for other, slot in enumerate(table.slots) if other != index)


# --- choosing workers ----------------------------------------------------------------------------------------------

TileWorkers = tuple[str | None, ...]


def _parted(table: Table, slot: Slot, avoided: tuple[str, ...]) -> TileWorkers:
    """Return a replica's workers without those that do not reach a partner of a tile, or the primary of their tile."""
    tiles = slot.tiles
    if not avoided:
        return tiles
    tiles = tuple(
        name if name is None or table.reach(name, table.primaries_of(tile)) else None
        for tile, name in enumerate(tiles)
    )
    for worker in avoided:
        if not table.reach(worker, _partners(table, tiles, worker)):
            tiles = _without(tiles, (worker,))
    return tiles


def _partners(table: Table, tiles: TileWorkers, worker: str) -> set[str | None]:
    """Return the workers of the tiles that a worker's own tiles exchange with."""
    own = [tile for tile, name in enumerate(tiles) if name == worker]
    return {name for tile in own for name in table.spec.partners_of(tile, tiles)}


def _without(tiles: TileWorkers, workers: tuple[str, ...]) -> TileWorkers:
    return tuple(None if name in workers else name for name in tiles)


def _fill(table: Table, index: int, tiles: TileWorkers, excluded: tuple[str, ...]) -> TileWorkers | None:
    """Return workers for all tiles of a replica, its own ones first; None if there is no room."""
    vacant = [tile for tile, name in enumerate(tiles) if name is None]
    if not vacant:
        return tiles
    table = table.with_slot(index, replace(table.slots[index], tiles=tiles))
    spare = [
        name
        for name, member in table.usable()
        if name not in excluded and len(table.roles(name).tiles) < member.capacity
    ]
    choice = _Choice(table, spare)
    for tile in vacant:
        worker = choice.best(table, index, tile)
        if worker is None:
            return None
        tiles = (*tiles[:tile], worker, *tiles[tile + 1 :])
        table = table.with_slot(index, replace(table.slots[index], tiles=tiles))
    return tiles


class _Choice:
    """The workers that tiles are placed on: those at a tile's place in the plan, then those with the fewest tiles, and slow
    ones only after all others. Of those with as few, one that has a tile of the same replica: a worker with tiles of two
    replicas slows both down.
    """

    def __init__(self, table: Table, workers: list[str]) -> None:
        self.pools = room.pools(table)
        self.workers = frozenset(workers)
        self.ranking = Ranking(workers, lambda name: _load(table, name))
        self.at: dict[str, list[str]] = {}
        for name in workers:
            self.at.setdefault(table.members[name].place, []).append(name)

    def best(self, table: Table, slot: int, tile: int) -> str | None:
        needed = table.needed_by(slot, tile) if table.rules.part_tiles else ()
        more = room.for_tile(table, tile)

        def load(name: str) -> Load:
            return _load(table, name)

        def fits(name: str) -> bool:
            spare = len(table.roles(name).tiles) < table.members[name].capacity
            return spare and not room.missing(table, self.pools, name, more) and table.reach(name, needed)

        def first(names: Iterable[str]) -> str | None:
            return min(filter(fits, names), key=lambda name: (load(name), name), default=None)

        wanted = self.at.get(table.spec.places.get((slot, tile), ""), ())
        placed = first(name for name in wanted if name not in table.slow)
        found = placed or self.ranking.first(load, fits)
        if placed or found is None or not table.roles(found).tiles:
            return found
        mates = self.workers & {*table.slots[slot].tiles}
        return first(name for name in mates if load(name)[:2] == load(found)[:2]) or found


def _load(table: Table, name: str) -> Load:
    """Return by what workers are ranked: whether one is slow, how many tiles it has, and how many servers."""
    roles = table.roles(name)
    return name in table.slow, len(roles.tiles), roles.servers


def _lapse(table: Table, index: int, slot: Slot) -> Transition[Table]:
    given_back: tuple[int, ...] = ()
    if not table.spec.synchronous:
        given_back = tuple(batch for task in slot.leases for batch in task.batches)
        returned = tuple(sorted((*table.pool.returned, *given_back)))
        table = replace(table, pool=replace(table.pool, returned=returned))
    missing = room.short_of_replica(table, index)
    vacant = (None,) * len(slot.tiles)
    table = table.with_slot(index, replace(slot, tiles=vacant, active=False, leases=(), short=missing))
    return table, (DeclareLapsed(index, given_back, missing),)
