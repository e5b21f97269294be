"""The coordinator's state: members, roles, leases and progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from .deaths import Death
from .manifest import Manifest
from .messages import (
    DesiredState,
    LiveReplica,
    PrimaryStatus,
    Promoted,
    Reinstated,
    Restored,
    Roster,
    SavedShard,
    Task,
    TileStatus,
    WorkerMemory,
)
from .spec import Rules, Spec


@dataclass(frozen=True, slots=True)
class Member:
    """A worker. `number`, `echo` (when it was sent, by the worker's clock) and `heard` (when it came, by ours) are those
    of its newest heartbeat; `desired` is the state last sent to it, at `answered`.

    `steady`: since when no two of its heartbeats have come far apart.
    """

    host: str
    place: str
    capacity: int
    heard: float
    echo: float
    number: int
    tiles: tuple[TileStatus, ...]
    primaries: tuple[PrimaryStatus, ...]
    draining: bool = False
    drained: bool = False
    desired: DesiredState | None = None
    answered: float = -inf
    steady: float = -inf
    memory: WorkerMemory | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """A replica slot. `tiles`: their workers; all None: nobody computes it.

    Updates below `low_water` are acknowledged by all shards, `leases` are under way, `next` has never been given out.
    `kept`: leases that were done while a checkpoint is made. `active`: counts for staleness from `start` on, which all
    shards know once their roster is at `since` (`confirmed`). `skipped`: numbers that were never given out.
    `short`: bytes of memory that lack for its vacant tiles.
    """

    tiles: tuple[str | None, ...]
    generation: int = 0
    low_water: int = 0
    start: int = 0
    next: int = 0
    leases: tuple[Task, ...] = ()
    kept: tuple[Task, ...] = ()
    active: bool = False
    since: int = 0
    confirmed: bool = False
    skipped: tuple[tuple[int, int], ...] = ()
    short: int = 0

    @property
    def staffed(self) -> bool:
        return None not in self.tiles


@dataclass(frozen=True, slots=True)
class ServerPair:
    """A shard's primary and standby. `missing`: the last primary, while there is none; `lease_until`: by our clock.

    `ready`: the standby has all that was acknowledged. `retiring`: the lease is not renewed, on purpose. `reserve`: the
    retired primary and its term, kept until the shard has two copies again. `blank`: it has no acknowledged
    updates. `acknowledged`: the low-water marks of the slots when it was restored after a loss, until the loss is declared.
    """

    term: int = 0
    incarnation: int = 0
    primary: str | None = None
    missing: str | None = None
    standby: str | None = None
    ready: bool = False
    origin: Restored | Promoted | Reinstated = field(default_factory=lambda: Restored(None))
    lease_until: float = -inf
    retiring: bool = False
    reserve: tuple[str, int] | None = None
    blank: bool = True
    acknowledged: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class BatchPool:
    """Batch numbers: `fresh` and above are untouched, `returned` were leased and given back, `used` are done."""

    fresh: int = 0
    returned: tuple[int, ...] = ()
    used: int = 0


@dataclass(frozen=True, slots=True)
class PendingCheckpoint:
    """A checkpoint being made: the `parts` that are written, by shard; then `writing` the manifest."""

    id: int
    at: int | None
    final: bool
    parts: Mapping[int, SavedShard] = field(default_factory=dict)
    writing: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A link between two workers is avoided until `until`: for `seconds` this time."""

    until: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Table:
    """`gone`: workers that the host saw end; `committed`: synchronous steps; `marked`: `used` at the last checkpoint.

    `due`: when the next tick should come; one that is late means that the coordinator itself stood still. `settled`:
    since when nobody's roles have changed. `version`: of the last desired state sent to anybody: a worker that was
    thought lost and wakes up finds the next one newer than its own. `deaths`: since the last finished step;
    `rollbacks`, and the `rollback_deaths` that caused them: since the run had its most batches, `reached`;
    `hopeless_since`: a last checkpoint is made before the run is `given_up`. `suspicions`: by the sorted ends of a link,
    also those just over; `apart`: the workers that each one does not reach, by the suspicions that hold now.
    """

    spec: Spec
    slots: tuple[Slot, ...]
    shards: tuple[ServerPair, ...]
    pool: BatchPool = field(default_factory=BatchPool)
    members: Mapping[str, Member] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    roster: Roster = field(default_factory=lambda: Roster(0, ()))
    committed: int = 0
    pending: PendingCheckpoint | None = None
    manifest: Manifest | None = None
    checkpoints: int = 0
    marked: int = 0
    begun: bool = False
    checkpoint_requested: bool = False
    stopping: bool = False
    finished: bool = False
    due: float = inf
    settled: float = -inf
    version: int = 0
    deaths: tuple[Death, ...] = ()
    rollbacks: int = 0
    rollback_deaths: tuple[Death, ...] = ()
    reached: int = 0
    hopeless_since: float | None = None
    given_up: bool = False
    rules: Rules = field(default_factory=Rules)
    suspicions: Mapping[tuple[str, str], Suspicion] = field(default_factory=dict)
    apart: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """All batches are used, and every shard has them."""
        if self.spec.synchronous:
            statuses = [self.status(i) for i in range(self.spec.tiles)]
            return self.committed == self.spec.steps and all(
                status is not None and status.committed == self.committed for status in statuses
            )
        return not self.leased and not self.pool.returned and self.pool.fresh >= self.spec.batches

    @property
    def leased(self) -> bool:
        """Whether anything is under way."""
        return any(slot.leases for slot in self.slots)

    @property
    def ending(self) -> bool:
        """Whether the next checkpoint is the last. An asynchronous run that is to stop first finishes what is leased, so
        that all shards have the same updates.
        """
        return self.complete or (self.stopping and (self.spec.synchronous or not self.leased))

    def status(self, shard: int) -> PrimaryStatus | None:
        """Return the last status of a shard's primary in its present term."""
        pair = self.shards[shard]
        member = self.members.get(pair.primary or "")
        found = member.primaries if member is not None else ()
        return next((s for s in found if (s.shard, s.term) == (shard, pair.term)), None)

    def tile_statuses(self, slot: int) -> list[TileStatus | None]:
        """Return the last status of each tile of a replica in its present generation."""
        wanted = self.slots[slot]
        return [
            next(
                (
                    s
                    for s in self._tiles_of(worker)
                    if (s.slot, s.tile, s.generation) == (slot, tile, wanted.generation)
                ),
                None,
            )
            for tile, worker in enumerate(wanted.tiles)
        ]

    def _tiles_of(self, worker: str | None) -> tuple[TileStatus, ...]:
        member = self.members.get(worker or "")
        return member.tiles if member is not None else ()

    def usable(self) -> Iterator[tuple[str, Member]]:
        """Yield the workers that may be given roles, in the order of their names."""
        for name in sorted(self.members):
            if not self.members[name].draining:
                yield name, self.members[name]

    def reach(self, worker: str, others: Iterable[str | None]) -> bool:
        """Whether no link between a worker and some others is suspected."""
        return self.apart.get(worker, frozenset()).isdisjoint(others)

    def with_slot(self, index: int, slot: Slot) -> Table:
        return replace(self, slots=(*self.slots[:index], slot, *self.slots[index + 1 :]))

    def with_shard(self, index: int, shard: ServerPair) -> Table:
        return replace(self, shards=(*self.shards[:index], shard, *self.shards[index + 1 :]))

    def enrolled(self) -> Table:
        """Return the table with the roster of its active slots; the version rises if it changed."""
        live = tuple(LiveReplica(i, s.generation, s.start) for i, s in enumerate(self.slots) if s.active)
        if live == self.roster.live:
            return self
        return replace(self, roster=Roster(self.roster.version + 1, live))
