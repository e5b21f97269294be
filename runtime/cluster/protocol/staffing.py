"""Which workers compute which replica. A replica is one unit of failure.

a tile's worker is lost --+-- a worker has room ---> takes the tile; generation rises, all tiles begin again
                          +-- none ----------------> the replica lapses: its leases go back, its workers are free
a tile cannot reach another --+-- suspected link ---> one of the two moves, or the primary that it needs (servers.py)
                              +-- a lost exchange --> generation rises, same workers
"""

from __future__ import annotations

from dataclasses import replace

from . import servers
from .instructions import DeclareLapsed, Instruction, Note
from .links import shunned
from .table import Slot, Step, Table


def staff(table: Table, now: float) -> Step:
    """Fill the vacant tiles of all replicas, those that only lack some first."""
    if not table.begun:
        return table, ()
    done: tuple[Instruction, ...] = ()
    avoided = shunned(table) if table.rules.part_tiles else ()
    order = sorted(range(len(table.slots)), key=lambda i: (table.slots[i].tiles.count(None), i))
    for index in order:
        table, more = _staff_slot(table, index, avoided)
        done += more
    return table.enrolled(), done


def vacate(table: Table, worker: str) -> Table:
    """Take a worker that is gone, or leaves, out of all replicas."""
    for index, slot in enumerate(table.slots):
        if worker in slot.tiles:
            tiles = tuple(None if name == worker else name for name in slot.tiles)
            table = table.with_slot(index, replace(slot, tiles=tiles))
    return table


def _staff_slot(table: Table, index: int, avoided: tuple[str, ...]) -> Step:
    slot = table.slots[index]
    tiles = _parted(table, slot, avoided)
    if slot.staffed and tiles == slot.tiles:
        return _begin_again(table, index, slot)
    filled = _placed(table, index, tiles, avoided)
    if (
        filled is None
        and slot.staffed
        and (servers.moving(table, index) or not _others_compute(table, index))
    ):
        return _begin_again(table, index, slot)
    if filled is not None:
        note = Note(f"replica {index} is computed by {', '.join(name or '' for name in filled)}")
        return table.with_slot(index, replace(slot, tiles=filled, generation=slot.generation + 1)), (note,)
    if slot.tiles.count(None) == len(slot.tiles) and not slot.active:
        return table, ()
    return _lapse(table, index, slot)


def _begin_again(table: Table, index: int, slot: Slot) -> Step:
    """Let a replica begin its step again whose tiles lost an exchange."""
    if not any(status is not None and status.stuck for status in table.tile_statuses(index)):
        return table, ()
    note = Note(f"replica {index} lost an exchange between its tiles and begins its step again")
    return table.with_slot(index, replace(slot, generation=slot.generation + 1)), (note,)


def _others_compute(table: Table, index: int) -> bool:
    return any(slot.staffed for other, slot in enumerate(table.slots) if other != index)


# --- choosing workers ----------------------------------------------------------------------------------------------

Tiles = tuple[str | None, ...]


def _parted(table: Table, slot: Slot, avoided: tuple[str, ...]) -> Tiles:
    """Return the workers of a replica without those that do not reach another one, or the primary of their tile."""
    tiles = slot.tiles
    if not avoided:
        return tiles
    tiles = tuple(
        name if name is None or table.reach(name, (shard.primary,)) else None
        for name, shard in zip(tiles, table.shards, strict=True)
    )
    for worker in avoided:
        if worker in tiles and not table.reach(worker, tiles):
            tiles = _without(tiles, (worker,))
    return tiles


def _without(tiles: Tiles, workers: tuple[str, ...]) -> Tiles:
    return tuple(None if name in workers else name for name in tiles)


def _placed(table: Table, index: int, tiles: Tiles, avoided: tuple[str, ...]) -> Tiles | None:
    """Return workers for all tiles of a replica, None if there is no room.

    Those that are to be avoided get none, and at need give theirs away. Only then they are taken, too, unless a primary
    will move soon that they keep from the others.
    """
    choices = [(tiles, avoided)]
    if avoided and not servers.moving(table, index):
        choices += [(_without(tiles, avoided), avoided), (tiles, ())]
    for kept, excluded in choices:
        slot = replace(table.slots[index], tiles=kept)
        if (filled := _fill(table.with_slot(index, slot), index, excluded)) is not None:
            return filled
    return None


def _fill(table: Table, index: int, excluded: tuple[str, ...]) -> Tiles | None:
    """Return workers for all tiles of a replica beside those that it has, None if there is no room."""
    for tile, name in enumerate(table.slots[index].tiles):
        if name is not None:
            continue
        worker = _best(table, index, tile, excluded)
        if worker is None:
            return None
        tiles = list(table.slots[index].tiles)
        tiles[tile] = worker
        table = table.with_slot(index, replace(table.slots[index], tiles=tuple(tiles)))
    return table.slots[index].tiles


def _best(table: Table, slot: int, tile: int, excluded: tuple[str, ...]) -> str | None:
    """Prefer the place that the plan gives the tile, then the worker with the fewest tiles."""
    places = {(r, i): place for r, i, place in table.spec.prefer}
    needed = (*table.slots[slot].tiles, table.shards[tile].primary) if table.rules.part_tiles else ()

    def cost(name: str) -> tuple[bool, int, str]:
        return table.members[name].place != places.get((slot, tile)), _tiles(table, name), name

    room = (name for name, member in table.usable() if _tiles(table, name) < member.capacity)
    able = (name for name in room if name not in excluded and table.reach(name, needed))
    return min(able, key=cost, default=None)


def _tiles(table: Table, worker: str) -> int:
    return sum(slot.tiles.count(worker) for slot in table.slots)


def _lapse(table: Table, index: int, slot: Slot) -> Step:
    given_back: tuple[int, ...] = ()
    if not table.spec.synchronous:
        given_back = tuple(batch for task in slot.leases for batch in task.batches)
        returned = tuple(sorted((*table.pool.returned, *given_back)))
        table = replace(table, pool=replace(table.pool, returned=returned))
    vacant = (None,) * len(slot.tiles)
    table = table.with_slot(index, replace(slot, tiles=vacant, active=False, leases=()))
    return table, (DeclareLapsed(index, given_back),)
