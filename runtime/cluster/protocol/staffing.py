"""Which workers compute which replica. A replica is one unit of failure.

a tile's worker is lost --+-- a worker has room ---> takes the tile; generation rises, all tiles begin again
                          +-- none ----------------> the replica lapses: its leases go back, its workers are free
a tile cannot reach another ------------------------> generation rises, same workers
"""

from __future__ import annotations

from dataclasses import replace

from .instructions import DeclareLapsed, Instruction, Note
from .table import Slot, Step, Table


def staff(table: Table, now: float) -> Step:
    """Fill the vacant tiles of all replicas, those that only lack some first."""
    if not table.begun:
        return table, ()
    done: tuple[Instruction, ...] = ()
    order = sorted(range(len(table.slots)), key=lambda i: (table.slots[i].tiles.count(None), i))
    for index in order:
        table, more = _staff_slot(table, index)
        done += more
    return table.enrolled(), done


def vacate(table: Table, worker: str) -> Table:
    """Take a worker that is gone, or leaves, out of all replicas."""
    for index, slot in enumerate(table.slots):
        if worker in slot.tiles:
            tiles = tuple(None if name == worker else name for name in slot.tiles)
            table = table.with_slot(index, replace(slot, tiles=tiles))
    return table


def _staff_slot(table: Table, index: int) -> Step:
    slot = table.slots[index]
    if slot.staffed:
        if not any(status is not None and status.stuck for status in table.tile_statuses(index)):
            return table, ()
        note = Note(f"replica {index} lost an exchange between its tiles and begins its step again")
        return table.with_slot(index, replace(slot, generation=slot.generation + 1)), (note,)
    filled = _fill(table, index)
    if filled is not None:
        note = Note(f"replica {index} is computed by {', '.join(name or '' for name in filled)}")
        return table.with_slot(index, replace(slot, tiles=filled, generation=slot.generation + 1)), (note,)
    if slot.tiles.count(None) == len(slot.tiles) and not slot.active:
        return table, ()
    return _lapse(table, index, slot)


def _fill(table: Table, index: int) -> tuple[str | None, ...] | None:
    """Return workers for all tiles of a replica, None if there is no room."""
    for tile, name in enumerate(table.slots[index].tiles):
        if name is not None:
            continue
        worker = _best(table, index, tile)
        if worker is None:
            return None
        tiles = list(table.slots[index].tiles)
        tiles[tile] = worker
        table = table.with_slot(index, replace(table.slots[index], tiles=tuple(tiles)))
    return table.slots[index].tiles


def _best(table: Table, slot: int, tile: int) -> str | None:
    """Prefer the place that the plan gives the tile, then the worker with the fewest tiles."""
    places = {(r, i): place for r, i, place in table.spec.prefer}

    def cost(name: str) -> tuple[bool, int, str]:
        return table.members[name].place != places.get((slot, tile)), _tiles(table, name), name

    room = (name for name, member in table.usable() if _tiles(table, name) < member.capacity)
    return min(room, key=cost, default=None)


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
