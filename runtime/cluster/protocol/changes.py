"""What travels of a desired state: what is different since the one sent before.

    coordinator     desired 7, desired 8  -->  change 8, based on 7  -->  worker     desired 7, change 8  -->  desired 8

The names of a replica's workers travel once a generation, servers and the roster when they change, leases as ranges.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

from .messages import (
    DesiredState,
    DesiredStateChange,
    LeaseRange,
    PrimaryAssignment,
    PrimaryChange,
    Roster,
    Task,
    TileAssignment,
    TileChange,
)
from .updates import Update


def difference(base: DesiredState | None, desired: DesiredState) -> DesiredStateChange:
    """Return how a desired state differs from the one sent before, or all of it."""
    tiles = {} if base is None else {(tile.slot, tile.tile): tile for tile in base.tiles}
    primaries = {} if base is None else {primary.shard: primary for primary in base.primaries}
    return DesiredStateChange(
        desired.run,
        desired.worker,
        desired.version,
        0 if base is None else base.version,
        desired.echo,
        None
        if base is not None and base.tiles == desired.tiles
        else tuple(_tile_change(tiles.get((tile.slot, tile.tile)), tile) for tile in desired.tiles),
        None
        if base is not None and base.primaries == desired.primaries
        else tuple(_primary_change(primaries.get(primary.shard), primary) for primary in desired.primaries),
        None if base is not None and base.standbys == desired.standbys else desired.standbys,
        None if base is not None and base.reserves == desired.reserves else desired.reserves,
        desired.stop,
    )


def applied(base: DesiredState | None, change: DesiredStateChange) -> DesiredState | None:
    """Return the desired state that a change makes of the one before, None if it does not fit to it."""
    if base is None or change.base == 0:
        base = DesiredState(change.run, change.worker, 0, change.echo, (), (), (), ())
    before = {(tile.slot, tile.tile, tile.generation): tile for tile in base.tiles}
    rosters = {(primary.shard, primary.term): primary.roster for primary in base.primaries}
    try:
        tiles = base.tiles
        if change.tiles is not None:
            tiles = tuple(_tile(tile, before) for tile in change.tiles)
        primaries = base.primaries
        if change.primaries is not None:
            primaries = tuple(_primary(primary, rosters) for primary in change.primaries)
    except KeyError:
        return None
    return DesiredState(
        change.run,
        change.worker,
        change.version,
        change.echo,
        tiles,
        primaries,
        base.standbys if change.standbys is None else change.standbys,
        base.reserves if change.reserves is None else change.reserves,
        change.stop,
    )


def _tile_change(base: TileAssignment | None, tile: TileAssignment) -> TileChange:
    same = base is not None and base.generation == tile.generation
    peers = None if base is not None and same and base.peers == tile.peers else tile.peers
    servers = None if base is not None and same and base.servers == tile.servers else tile.servers
    return TileChange(
        tile.slot, tile.tile, tile.generation, peers, servers, _ranges(tile.work), tile.validation
    )


def _tile(change: TileChange, before: dict[tuple[int, int, int], TileAssignment]) -> TileAssignment:
    key = change.slot, change.tile, change.generation
    peers = before[key].peers if change.peers is None else change.peers
    servers = before[key].servers if change.servers is None else change.servers
    work = tuple(
        Task(Update(found.slot, found.first + i), batches)
        for found in change.work
        for i, batches in enumerate(found.batches)
    )
    return TileAssignment(
        change.slot, change.tile, change.generation, peers, servers, work, change.validation
    )


@lru_cache(maxsize=64)
def _ranges(work: tuple[Task, ...]) -> tuple[LeaseRange, ...]:
    """Return tasks as ranges: all tiles of a replica have the same ones."""

    def series(numbered: tuple[int, Task]) -> tuple[int, int]:
        return numbered[1].update.slot, numbered[1].update.number - numbered[0]

    ranges = ([task for _, task in tasks] for _, tasks in groupby(enumerate(work), series))
    return tuple(
        LeaseRange(tasks[0].update.slot, tasks[0].update.number, tuple(task.batches for task in tasks))
        for tasks in ranges
    )


def _primary_change(base: PrimaryAssignment | None, primary: PrimaryAssignment) -> PrimaryChange:
    known = base is not None and (base.term, base.roster) == (primary.term, primary.roster)
    return PrimaryChange(
        primary.shard,
        primary.term,
        primary.origin,
        primary.leased,
        primary.standby,
        primary.ready,
        None if known else primary.roster,
        primary.commit,
        primary.checkpoint,
        primary.declares,
        primary.norms,
    )


def _primary(change: PrimaryChange, rosters: dict[tuple[int, int], Roster]) -> PrimaryAssignment:
    roster = change.roster
    if roster is None:
        roster = rosters[change.shard, change.term]
    return PrimaryAssignment(
        change.shard,
        change.term,
        change.origin,
        change.leased,
        change.standby,
        change.ready,
        roster,
        change.commit,
        change.checkpoint,
        change.declares,
        change.norms,
    )
