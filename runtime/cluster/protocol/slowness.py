"""Workers that compute slowly: they are named, and their tiles move to workers without one.

    worker                        a     b     c     d
    a step, without waiting     100   110   480   200 ms        the median of 30 steps, told with the progress of tiles
    planned work of its tiles     1     1     1     2
    over it                     100   110   480   100           median 100: c is slow, and named if that lasts

    c's tiles --- a spare worker that fits and reaches, none moved in the last minute ---> there, in a new generation

A replica goes at the pace of its slowest tile, so one slow worker costs as much as all others gain. Of an even number of
workers the lower median counts: of two, the faster one. None is slow whose steps are brief: what the system does besides
takes as long. A worker that was slow gets no tiles for ten minutes if there is other room, nor does a tile move again so
soon: if what the plan says of its work is wrong, it is slow everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import median_low

from . import room
from .instructions import DeclareSlow, Instruction, Note, Transition
from .table import Table

SLOW, AGAIN = 2.0, 1.5
"""Times the median, above which a worker is slow, and below which it is no more."""
BRIEF = 50_000
"""Microseconds: no worker is slow whose steps take less."""
REST = 10
"""How many times the pause between two moves a slow worker is avoided, and a moved tile stays."""


def relieve(table: Table, now: float) -> Transition[Table]:
    """Name workers that are slow, and move the tiles of one of them."""
    if not table.begun or table.stopping or table.complete:
        return table, ()
    paces = {index: _paces(table, index) for index in range(len(table.slots))}
    table, named = _named(table, now, paces)
    if not table.slow or now < table.relieved + table.spec.times.relief or not table.rules.relieve:
        return table, named
    times = {name: max(found.get(name, 0.0) for found in paces.values()) for name in table.slow}
    for worker in sorted(times, key=lambda name: (-times[name], name)):
        spare = _spare(table, now, worker) if times[worker] > SLOW else None
        if spare is not None:
            table, moved = _moved(table, now, worker, spare)
            return table, named + moved
    return table, named


# --- naming --------------------------------------------------------------------------------------------------------


def _paces(table: Table, index: int) -> Mapping[str, float]:
    """Return how many times the replica's median each of its workers takes; none while a tile has not told."""
    slot = table.slots[index]
    statuses = table.tile_statuses(index) if slot.staffed else []
    paces: dict[str, int] = {}
    for name, status in zip(slot.tiles, statuses, strict=False):
        if name is None or status is None or status.pace <= 0:
            return {}
        paces[name] = max(paces.get(name, 0), status.pace)
    found = {name: pace / _work(table, name) for name, pace in paces.items()}
    middle = median_low(found.values()) if found else 1.0
    return {name: found[name] / middle if pace >= BRIEF else 1.0 for name, pace in paces.items()}


def _work(table: Table, worker: str) -> int:
    """Return the planned work of all tiles of a worker: they share its processor."""
    work, tiles = table.spec.work, table.roles(worker).tiles
    return sum(work[tile] for _, tile in tiles) if work else len(tiles)


def _named(table: Table, now: float, paces: Mapping[int, Mapping[str, float]]) -> Transition[Table]:
    """Return the table with the workers that are slow now, or were not long ago."""
    done: tuple[Instruction, ...] = ()
    slow = {name: until for name, until in table.slow.items() if now < until and name in table.members}
    behind: dict[str, float] = {}
    for index, found in paces.items():
        for name, times in found.items():
            if times > SLOW:
                behind[name] = table.behind.get(name, now)
                if now < behind[name] + table.spec.times.failure_timeout:
                    continue
                done += () if name in slow else (DeclareSlow(name, index, times),)
                slow[name] = now + REST * table.spec.times.relief
            elif name in slow and all(other.get(name, 0.0) < AGAIN for other in paces.values()):
                del slow[name]
                done += (DeclareSlow(name, index, times),)
    same = (slow, behind) == (table.slow, table.behind)
    return (table if same else replace(table, slow=slow, behind=behind)), done


# --- moving --------------------------------------------------------------------------------------------------------


def _spare(table: Table, now: float, worker: str) -> str | None:
    """Return the worker without a tile that the tiles of a worker are to move to, that with the fewest servers."""
    tiles, pools = table.roles(worker).tiles, room.pools(table)
    until = now - REST * table.spec.times.relief
    if table.rules.rest and any(table.eased.get(tile, until) > until for tile in tiles):
        return None
    more = sum(room.for_tile(table, tile) for _, tile in tiles)
    needed = set(_needed(table, worker))

    def fits(name: str) -> bool:
        free = name not in table.slow and not table.roles(name).tiles
        return free and not room.missing(table, pools, name, more) and table.reach(name, needed)

    spare = (n for n, member in table.usable() if len(tiles) <= member.capacity and fits(n))
    return min(spare, key=lambda name: (table.roles(name).servers, name), default=None)


def _needed(table: Table, worker: str) -> Iterator[str | None]:
    """Yield the workers that the tiles of a worker exchange messages with."""
    for index, tile in table.roles(worker).tiles:
        yield from (name for name in table.needed_by(index, tile) if name != worker)


def _moved(table: Table, now: float, worker: str, spare: str) -> Transition[Table]:
    tiles = table.roles(worker).tiles
    done: tuple[Instruction, ...] = ()
    for index in sorted({index for index, _ in tiles}):
        slot = table.slots[index]
        names = tuple(spare if name == worker else name for name in slot.tiles)
        table = table.with_slot(index, replace(slot, tiles=names, generation=slot.generation + 1))
        listed = ", ".join(name or "" for name in names)
        done += (Note(f"replica {index} is computed by {listed}: {worker} is slow"),)
    eased = {**table.eased, **dict.fromkeys(tiles, now)}
    return replace(table, relieved=now, eased=eased).enrolled(), done
