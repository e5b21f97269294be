"""Roles move to workers that came back or came late: one at a time, once nothing has changed for a while.

        lost and back               failure timeout later       and a grace period later
    a   tiles 0 1, primaries 0 1    tile 0, primaries 0 1       tile 0, primary 0
    b   standbys 0 1                tile 1, standbys 0 1        tile 1, primary 1

A tile moves to its place in the plan after a failure timeout, in which the process there makes ready for it (rehearsal.py),
and elsewhere after a grace period, as primaries do. It moves from a worker that has at least two more than the other, so
every move evens them out and moves come to an end; a tile at its place in the plan stays. Its replica begins its step again
in a new generation. A primary moves to its standby, as if its worker drained (servers.py), if a third worker can become the
standby: no acknowledged update is ever in one process alone. With durability "single" it stays, because its successor would
acknowledge alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import room
from .instructions import Note, Transition
from .table import Table


def balance(table: Table, now: float) -> Transition[Table]:
    """Make one move, if there is one to make and the roles have been at rest."""
    calm, times = now - table.settled, table.spec.times
    if calm < min(times.failure_timeout, times.grace_period) or not _at_rest(table):
        return table, ()
    anywhere = calm >= times.grace_period
    if moves := sorted(_tile_moves(table)):
        elsewhere, _, index, tile, worker = moves[0]
        return _move_tile(table, index, tile, worker) if anywhere or not elsewhere else (table, ())
    return next(_handovers(table), (table, ())) if anywhere else (table, ())


def rested(before: Table, after: Table, now: float) -> Table:
    """Note when roles changed hands, or workers came or went."""
    return after if _same_roles(before, after) else replace(after, settled=now)


def _same_roles(before: Table, after: Table) -> bool:
    return (
        (before.slots is after.slots or _slots(before) == _slots(after))
        and (before.shards is after.shards or _shards(before) == _shards(after))
        and len(before.members) == len(after.members)
    )


def _slots(table: Table) -> list[tuple[object, ...]]:
    return [(slot.tiles, slot.generation) for slot in table.slots]


def _shards(table: Table) -> list[tuple[object, ...]]:
    return [(shard.term, shard.primary, shard.standby, shard.ready) for shard in table.shards]


def _at_rest(table: Table) -> bool:
    """Tell whether every role is assigned, and none is about to move or to end."""
    ending = table.stopping or table.complete or table.pending is not None
    staffed = all(slot.staffed for slot in table.slots)
    kept = all(shard.ready and not shard.retiring and shard.reserve is None for shard in table.shards)
    return table.begun and not ending and staffed and kept


def _tile_moves(table: Table) -> Iterator[tuple[bool, int, int, int, str]]:
    """Yield possible moves as keys that sort by preference: to the plan's place, then to where the fewest tiles are."""
    workers, pools = dict(table.usable()), room.pools(table)
    tiles = {name: len(table.roles(name).tiles) for name in workers}
    spare = [n for n, member in workers.items() if tiles[n] < member.capacity and n not in table.slow]
    least = min((tiles[name] for name in spare), default=0)
    for name in workers if spare else ():
        for index, tile in table.roles(name).tiles if tiles[name] >= least + 2 else ():
            place = table.spec.places.get((index, tile), "")
            needed = table.needed_by(index, tile)
            if workers[name].place == place:
                continue
            for other in spare:
                roomy = not room.missing(table, pools, other, room.for_tile(table, tile))
                if tiles[other] + 2 <= tiles[name] and roomy and table.reach(other, needed):
                    yield workers[other].place != place, tiles[other] - tiles[name], index, tile, other


def _move_tile(table: Table, index: int, tile: int, worker: str) -> Transition[Table]:
    slot = table.slots[index]
    tiles = (*slot.tiles[:tile], worker, *slot.tiles[tile + 1 :])
    table = table.with_slot(index, replace(slot, tiles=tiles, generation=slot.generation + 1))
    names = ", ".join(name or "" for name in tiles)
    return table.enrolled(), (Note(f"replica {index} is computed by {names}: work is spread more evenly"),)


def _handovers(table: Table) -> Iterator[Transition[Table]]:
    """Yield the tables in which a primary retires in favour of a standby beside a tile of its own."""
    usable = {name for name, _ in table.usable()}
    if table.spec.durability != "standby" or len(usable) < 3:
        return
    for index, shard in enumerate(table.shards):
        beside = shard.standby in table.computed_by(index)
        more = _primaries(table, shard.primary) - _primaries(table, shard.standby)
        reached = table.reach(shard.standby or "", (shard.primary, *table.computed_by(index)))
        if shard.standby in usable and beside and more >= 2 and reached:
            note = Note(
                f"the primary of shard {index} is to move to {shard.standby}: work is spread more evenly"
            )
            yield table.with_shard(index, replace(shard, retiring=True)), (note,)


def _primaries(table: Table, worker: str | None) -> int:
    return len(table.roles(worker or "").primaries)
