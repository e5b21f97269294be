"""What the coordinator looks up instead of walking over its table: it follows from the table, and changes with it.

who has it:  slots, shards      -->  roles by worker
reported:    members' tiles     -->  progress of each slot      how many of its tiles are how far
             members' primaries -->  status of each shard, and how many shards have a part of a step safely
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .messages import PrimaryStatus, TileStatus
from .records import Records

if TYPE_CHECKING:
    from .table import Member, ServerPair, Slot


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of a worker: tiles as slot and index, the others by shard; each in order."""

    tiles: tuple[tuple[int, int], ...] = ()
    primaries: tuple[int, ...] = ()
    standbys: tuple[int, ...] = ()
    reserves: tuple[int, ...] = ()

    @property
    def servers(self) -> int:
        return len(self.primaries) + len(self.standbys)


NOTHING = Roles()


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a slot's present generation. `done`: how many tiles have how many updates acknowledged, of the `heard` that have
    said so; `stuck`: which tiles.
    """

    done: Mapping[int, int] = field(default_factory=dict)
    heard: int = 0
    stuck: frozenset[int] = frozenset()

    def least(self, tiles: int) -> int:
        """Return below which number the updates of all tiles are acknowledged; 0 while one of them has said nothing."""
        return min(self.done) if self.heard == tiles else 0

    def with_status(self, old: TileStatus | None, new: TileStatus | None) -> Progress:
        """Return the progress when the status of one tile takes the place of another."""
        done, stuck = dict(self.done), self.stuck
        if old is not None:
            done[old.done] -= 1
            if not done[old.done]:
                del done[old.done]
            stuck -= {old.tile}
        if new is not None:
            done[new.done] = done.get(new.done, 0) + 1
            stuck |= {new.tile} if new.stuck else frozenset()
        return Progress(done, self.heard - (old is not None) + (new is not None), stuck)


@dataclass(frozen=True, slots=True)
class Index:
    """`statuses`: of each shard's primary in its present term; `safe`: how many shards have each part of the step that is
    to be committed next where the loss of a process does no harm.
    """

    roles: Records[Roles]
    progress: tuple[Progress, ...]
    statuses: tuple[PrimaryStatus | None, ...]
    safe: tuple[int, ...]


def built(
    slots: tuple[Slot, ...], shards: tuple[ServerPair, ...], members: Mapping[str, Member], committed: int
) -> Index:
    """Return the index of a table by looking at all of it."""
    roles: dict[str, Roles] = {}
    for name, role in (*_tiles(slots), *_servers(shards)):
        found = roles.get(name, NOTHING)
        roles[name] = _merged(found, role)
    progress = [Progress() for _ in slots]
    for name, member in members.items():
        for (slot, _), status in counted(slots, name, member.tiles).items():
            progress[slot] = progress[slot].with_status(None, status)
    statuses = tuple(status_of(shard, index, members) for index, shard in enumerate(shards))
    return Index(Records(roles), tuple(progress), statuses, safe(statuses, committed, len(slots)))


def counted(
    slots: tuple[Slot, ...], worker: str, statuses: Iterable[TileStatus]
) -> dict[tuple[int, int], TileStatus]:
    """Return those statuses that are of tiles which the worker has, in their present generation, by slot and tile."""
    return {
        (status.slot, status.tile): status
        for status in statuses
        if 0 <= status.slot < len(slots)
        and 0 <= status.tile < len(slots[status.slot].tiles)
        and slots[status.slot].tiles[status.tile] == worker
        and slots[status.slot].generation == status.generation
    }


def status_of(shard: ServerPair, index: int, members: Mapping[str, Member]) -> PrimaryStatus | None:
    """Return the last status of a shard's primary in its present term."""
    member = members.get(shard.primary) if shard.primary is not None else None
    found = member.primaries if member is not None else ()
    return next((s for s in found if (s.shard, s.term) == (index, shard.term)), None)


def safe(statuses: Iterable[PrimaryStatus | None], committed: int, parts: int) -> tuple[int, ...]:
    counts = [0] * parts
    for status in statuses:
        for part in parts_of(status, committed, parts):
            counts[part] += 1
    return tuple(counts)


def parts_of(status: PrimaryStatus | None, committed: int, parts: int) -> tuple[int, ...]:
    """Return the parts of the step to be committed next that a shard has safely."""
    if status is None or status.committed != committed:
        return ()
    return tuple(part for part in status.staged if 0 <= part < parts)


# --- roles by worker -----------------------------------------------------------------------------------------------


def with_tiles(roles: Records[Roles], index: int, old: Slot, new: Slot) -> Records[Roles]:
    """Return the roles when a slot takes the place of another."""
    if old.tiles is new.tiles:
        return roles
    for tile, (before, after) in enumerate(zip(old.tiles, new.tiles, strict=True)):
        if before != after:
            roles = _without(roles, before, Roles(tiles=((index, tile),)))
            roles = _with(roles, after, Roles(tiles=((index, tile),)))
    return roles


def with_servers(roles: Records[Roles], index: int, old: ServerPair, new: ServerPair) -> Records[Roles]:
    """Return the roles when the servers of a shard take the place of others."""
    before, after = dict(_of_shard(old, index)), dict(_of_shard(new, index))
    for role, name in before.items():
        if after.get(role) != name:
            roles = _without(roles, name, role)
    for role, name in after.items():
        if before.get(role) != name:
            roles = _with(roles, name, role)
    return roles


def _tiles(slots: tuple[Slot, ...]) -> Iterator[tuple[str, Roles]]:
    for index, slot in enumerate(slots):
        for tile, name in enumerate(slot.tiles):
            if name is not None:
                yield name, Roles(tiles=((index, tile),))


def _servers(shards: tuple[ServerPair, ...]) -> Iterator[tuple[str, Roles]]:
    for index, shard in enumerate(shards):
        for role, name in _of_shard(shard, index):
            yield name, role


def _of_shard(shard: ServerPair, index: int) -> Iterator[tuple[Roles, str]]:
    if shard.primary is not None:
        yield Roles(primaries=(index,)), shard.primary
    if shard.standby is not None:
        yield Roles(standbys=(index,)), shard.standby
    if shard.reserve is not None:
        yield Roles(reserves=(index,)), shard.reserve[0]


def _merged(a: Roles, b: Roles) -> Roles:
    return Roles(
        tuple(sorted((*a.tiles, *b.tiles))),
        tuple(sorted((*a.primaries, *b.primaries))),
        tuple(sorted((*a.standbys, *b.standbys))),
        tuple(sorted((*a.reserves, *b.reserves))),
    )


def _with(roles: Records[Roles], name: str | None, role: Roles) -> Records[Roles]:
    return roles if name is None else roles.with_record(name, _merged(roles.get(name, NOTHING), role))


def _without(roles: Records[Roles], name: str | None, role: Roles) -> Records[Roles]:
    if name is None:
        return roles
    found = roles[name]
    rest = replace(
        found,
        tiles=tuple(item for item in found.tiles if item not in role.tiles),
        primaries=tuple(item for item in found.primaries if item not in role.primaries),
        standbys=tuple(item for item in found.standbys if item not in role.standbys),
        reserves=tuple(item for item in found.reserves if item not in role.reserves),
    )
    return roles.without(name) if rest == NOTHING else roles.with_record(name, rest)
