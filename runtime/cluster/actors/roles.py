"""Events for the operator, from the coordinator's table: who has which role, and which roles a lost worker had."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from signal import Signals
from typing import TypeVar

from lnet.runtime.cluster.monitor.outliers import FEW
from lnet.runtime.cluster.protocol.deaths import Cause, Death
from lnet.runtime.cluster.protocol.instructions import DeclareSlow
from lnet.runtime.cluster.protocol.messages import Promoted
from lnet.runtime.cluster.protocol.slowness import SLOW
from lnet.runtime.cluster.protocol.table import Member, ServerPair, Slot, Table
from lnet.runtime.cluster.published import as_worker
from lnet.runtime.store.events import (
    LogEvent,
    PartLost,
    ReplicaChange,
    ReplicaRoles,
    RolesChanged,
    RolesMoved,
    ShardRoles,
    StandbyPromoted,
    WorkerLeft,
    WorkerLost,
    WorkerSlow,
)

T = TypeVar("T")


def changes(before: Table, after: Table) -> Iterator[LogEvent]:
    """Yield the events that lie between two tables, losses first."""
    if after.finished:
        return
    for name in sorted(before.members.beyond(after.members)):
        member = before.members[name]
        if member.drained:
            yield WorkerLeft(short_name(name, member))
        else:
            yield _worker_lost(before, name)
    if after.begun:
        moved = _moved(before, after)
        if not before.begun or moved is not None:
            yield from _promotions(before, after)
            yield roles(after) if moved is None or not before.begun or _is_small(after) else moved


def _is_small(table: Table) -> bool:
    """Whether all roles together are so few that each event may name them."""
    return len(table.slots) * table.spec.tiles + len(table.shards) <= FEW


def _promotions(before: Table, after: Table) -> Iterator[StandbyPromoted]:
    for index, (old, new) in enumerate(zip(before.shards, after.shards, strict=True)):
        if new.term > old.term and isinstance(new.origin, Promoted) and new.primary is not None:
            worker = short_name(new.primary, after.members.get(new.primary))
            yield StandbyPromoted(index, worker, new.term)


def short_name(name: str, member: Member | None) -> str:
    """Return the name that a person gave a worker, its address if nobody gave one."""
    place = member.place if member is not None and member.place else name.partition("#")[0]
    return as_worker(place)


def with_short_names(text: str, members: Mapping[str, Member]) -> str:
    """Return a text with the workers in it by their short names."""

    def short(found: re.Match[str]) -> str:
        name = found.group()
        return short_name(name, members[name]) if name in members else name

    return re.sub(r"\S+#\w+", short, text)


def roles(table: Table) -> RolesChanged:
    """Return the workers of all roles."""
    return RolesChanged(
        tuple(
            ReplicaRoles(
                _state(table, slot), tuple(_short(table, name) for name in slot.tiles), slot.generation
            )
            for slot in table.slots
        ),
        tuple(_shard(table, shard) for shard in table.shards),
        tuple(sorted(short_name(name, member) for name, member in table.members.items())),
    )


def _short(table: Table, name: str | None) -> str | None:
    return None if name is None else short_name(name, table.members.get(name))


def _shard(table: Table, shard: ServerPair) -> ShardRoles:
    return ShardRoles(_short(table, shard.primary), _short(table, shard.standby), shard.ready, shard.term)


def _moved(before: Table, after: Table) -> RolesMoved | None:
    """Return what lies between two tables' roles, if anything: most tables share all but a few records."""
    moved = RolesMoved(
        dict(_slots_moved(before, after)),
        {
            index: _shard(after, new)
            for index, (old, new) in _others(before.shards, after.shards)
            if (old.primary, old.standby, old.ready, old.term)
            != (new.primary, new.standby, new.ready, new.term)
        },
        _names(after, after.members.beyond(before.members)),
        _names(before, before.members.beyond(after.members)),
    )
    return moved if moved.replicas or moved.shards or moved.joined or moved.left else None


def _others(before: Sequence[T], after: Sequence[T]) -> Iterator[tuple[int, tuple[T, T]]]:
    """Yield the records that are not the same object, by their places."""
    if before is not after:
        pairs = enumerate(zip(before, after, strict=True))
        yield from (found for found in pairs if found[1][0] is not found[1][1])


def _slots_moved(before: Table, after: Table) -> Iterator[tuple[int, ReplicaChange]]:
    if before.slots is after.slots and before.pool is after.pool and before.stopping == after.stopping:
        return
    for index, (old, new) in enumerate(zip(before.slots, after.slots, strict=True)):
        state = _state(after, new)
        tiles = {
            tile: _short(after, name)
            for tile, (other, name) in _others(old.tiles, new.tiles)
            if name != other
        }
        if tiles or (state, new.generation) != (_state(before, old), old.generation):
            yield index, ReplicaChange(state, new.generation, tiles)


def _names(table: Table, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(short_name(name, table.members[name]) for name in names))


def _state(table: Table, slot: Slot) -> str:
    if not slot.staffed:
        return "lapsed" if slot.generation else "waiting"
    if slot.active:
        return "computing"
    if table.stopping or (table.pool.fresh >= table.spec.batches and not table.pool.returned):
        return "done"
    return "warming up" if table.pool.used < table.spec.warmup else "starting"


def _worker_lost(table: Table, worker: str) -> WorkerLost:
    shards = tuple(enumerate(table.shards))
    return WorkerLost(
        short_name(worker, table.members[worker]),
        tuple(
            PartLost(index, _tiles(slot, worker), _acknowledged(table, index))
            for index, slot in enumerate(table.slots)
            if worker in slot.tiles
        ),
        primaries=tuple(index for index, shard in shards if shard.primary == worker),
        standbys=tuple(index for index, shard in shards if shard.standby == worker),
    )


def _tiles(slot: Slot, worker: str) -> tuple[int, ...]:
    return tuple(tile for tile, name in enumerate(slot.tiles) if name == worker)


def _acknowledged(table: Table, index: int) -> int:
    done = [0 if status is None else status.done for status in table.tile_statuses(index)]
    return max(table.slots[index].low_water, table.committed, min(done))


def slow_worker(declared: DeclareSlow, name: str) -> WorkerSlow:
    """Return what is told of a worker that is slow, or no more."""
    slow = declared.times > SLOW
    text = (
        f"{name} takes {declared.times:.1f} times the median of replica {declared.slot} for its planned work"
    )
    if not slow:
        text = f"{name} keeps up with replica {declared.slot} again"
    return WorkerSlow(name, declared.slot, round(declared.times, 2), slow, text)


# --- deaths --------------------------------------------------------------------------------------------------------


def in_words(cause: Cause) -> str:
    """Return why a process ended."""
    match cause.kind:
        case "memory":
            return f"over its memory limit of {cause.number:,} bytes"
        case "signal":
            named = {signal.value: f" ({signal.name})" for signal in Signals}
            return f"signal {cause.number}{named.get(cause.number, '')}"
        case "exit":
            return f"exit {cause.number}"
        case "import":
            return f"import error: {cause.line}"
        case "error":
            return f"start-up error: {cause.line}"
        case "unknown":
            return "unknown"


def lost_workers(deaths: tuple[Death, ...]) -> Iterator[str]:
    """Yield a line for each worker: how often it was lost, and why."""
    for place in dict.fromkeys(death.place for death in deaths):
        causes = [in_words(death.cause) for death in deaths if death.place == place]
        each = ", ".join(_times(cause, causes.count(cause)) for cause in dict.fromkeys(causes))
        often = "once" if len(causes) == 1 else f"{len(causes):,} times"
        yield f"{place} was lost {often}: {each if len(set(causes)) > 1 else causes[0]}"


def _times(cause: str, count: int) -> str:
    return cause if count == 1 else f"{cause} ({count:,} times)"
