"""Events for the operator, from the coordinator's table: who has which role, and which roles a lost worker had."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from signal import Signals

from lnet.runtime.cluster.protocol.deaths import Cause, Death
from lnet.runtime.cluster.protocol.instructions import DeclareSlow
from lnet.runtime.cluster.protocol.messages import Promoted
from lnet.runtime.cluster.protocol.slowness import SLOW
from lnet.runtime.cluster.protocol.table import Member, Slot, Table
from lnet.runtime.cluster.published import as_worker
from lnet.runtime.store.events import (
    LogEvent,
    PartLost,
    ReplicaRoles,
    RolesChanged,
    ShardRoles,
    StandbyPromoted,
    WorkerLeft,
    WorkerLost,
    WorkerSlow,
)


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
    if after.begun and _differ(before, after):
        yield from _promotions(before, after)
        yield roles(after)


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

    def short(name: str | None) -> str | None:
        return None if name is None else short_name(name, table.members.get(name))

    return RolesChanged(
        tuple(
            ReplicaRoles(_state(table, slot), tuple(short(name) for name in slot.tiles), slot.generation)
            for slot in table.slots
        ),
        tuple(
            ShardRoles(short(shard.primary), short(shard.standby), shard.ready, shard.term)
            for shard in table.shards
        ),
        tuple(sorted(short_name(name, member) for name, member in table.members.items())),
    )


def _differ(before: Table, after: Table) -> bool:
    """Tell whether two tables give different `roles`; most follow each other with the same slots and shards."""
    return (
        (before.begun, len(before.members)) != (after.begun, len(after.members))
        or (before.shards is not after.shards and _pairs(before) != _pairs(after))
        or ((before.slots, before.pool) != (after.slots, after.pool) and _slots(before) != _slots(after))
    )


def _pairs(table: Table) -> list[tuple[object, ...]]:
    return [(shard.primary, shard.standby, shard.ready, shard.term) for shard in table.shards]


def _slots(table: Table) -> list[tuple[object, ...]]:
    return [(_state(table, slot), slot.tiles, slot.generation) for slot in table.slots]


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
