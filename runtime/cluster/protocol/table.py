"""The coordinator's state: members, roles, leases and progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal, cast

from .deaths import Death
from .index import (
    NOTHING,
    Index,
    Progress,
    Roles,
    built,
    counted,
    parts_of,
    safe,
    status_of,
    with_servers,
    with_tiles,
)
from .manifest import Manifest
from .messages import (
    DesiredState,
    LiveReplica,
    Origin,
    PrimaryStatus,
    Restored,
    Roster,
    SavedShard,
    Task,
    TileStatus,
    WorkerMemory,
)
from .records import Records
from .spec import Rules, Spec
from .validations import ValidationOrder


@dataclass(frozen=True, slots=True)
class Member:
    """A worker, and what its reports have said. `report`: the number of the newest one.

    `unreachable`: the workers that it names, as long as it does: a link is tried again and again, and both ends have to be
    heard, which they may not be yet.
    """

    host: str
    place: str
    capacity: int
    report: int = 0
    tiles: tuple[TileStatus, ...] = ()
    primaries: tuple[PrimaryStatus, ...] = ()
    memory: WorkerMemory | None = None
    unreachable: tuple[str, ...] = ()
    draining: bool = False
    drained: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """The newest heartbeat of a worker, and the last answer. `number` and `echo` (when it was sent, by the worker's clock)
    are the heartbeat's, `heard` is when it came, by ours; `desired` is the state last sent, `answered` when the worker was
    last sent anything. `obeyed`: the version that it obeys.

    `steady`: since when no two of its heartbeats have come far apart.
    """

    number: int
    echo: float
    heard: float
    steady: float
    obeyed: int = 0
    desired: DesiredState | None = None
    answered: float = -inf


@dataclass(frozen=True, slots=True)
class Slot:
    """A replica slot. `tiles`: their workers; all None: nobody computes it; `staffed`: none is None.

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
    staffed: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "staffed", None not in self.tiles)

    @property
    def peers(self) -> tuple[str, ...]:
        """The workers of all tiles; of a vacant one the empty name."""
        if self.staffed:
            return cast("tuple[str, ...]", self.tiles)
        return tuple(name or "" for name in self.tiles)


@dataclass(frozen=True, slots=True)
class ServerPair:
    """A shard's primary and standby. `missing`: the last primary, while there is none.

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
    origin: Origin = field(default_factory=lambda: Restored(None))
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
class PendingValidation:
    """A validation under way: what is ordered of replica `slot` in a `generation`, and how far that is (validating.py)."""

    order: ValidationOrder
    slot: int
    generation: int
    stage: Literal["computing", "judging", "writing", "committing"] = "computing"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A link between two workers is avoided until `until`: for `seconds` this time."""

    until: float
    seconds: float


@dataclass(frozen=True)
class Table:
    """`gone`: workers that the host saw end; `lost`: workers that were lost, by their addresses, and `ended`: addresses at
    which a process has ended, until the one confirms the other (exits.py); `committed`: synchronous steps, `norms`: squared
    ones of the last of these, if it is clipped; `marked`: `used` at the last checkpoint; `validated`: the step of the last
    validation, `validations`: attempts at them.

    `index` follows from the rest: slots, shards and members are changed by the methods here alone, which keep it.
    `lease_ends`: of each shard's primary, by our clock.
    `due`: when the next tick should come; one that is late means that the coordinator itself stood still. `settled`:
    since when nobody's roles have changed. `version`: of the last desired state sent to anybody: a worker that was
    thought lost and wakes up finds the next one newer than its own. `deaths`: since the last finished step;
    `rollbacks`, and the `rollback_deaths` that caused them: since the run had its most batches, `reached`;
    `hopeless_since`: a last checkpoint is made before the run is `given_up`. `suspicions`: by the sorted ends of a link,
    also those just over; `apart`: the workers that each one does not reach, by the suspicions that hold now. `behind`: since
    when workers take too long for a step, `slow`: until when they are avoided; `relieved`: when tiles of one last moved,
    `eased`: when each tile did (slowness.py).
    """

    spec: Spec
    slots: tuple[Slot, ...]
    shards: tuple[ServerPair, ...]
    members: Records[Member] = field(default_factory=Records)
    contacts: Records[Contact] = field(default_factory=Records)
    index: Index = field(default_factory=lambda: Index(Records(), (), (), ()))
    lease_ends: tuple[float, ...] = ()
    pool: BatchPool = field(default_factory=BatchPool)
    gone: frozenset[str] = frozenset()
    lost: Mapping[str, str] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()
    roster: Roster = field(default_factory=lambda: Roster(0, ()))
    committed: int = 0
    norms: tuple[float, ...] = ()
    pending: PendingCheckpoint | None = None
    manifest: Manifest | None = None
    checkpoints: int = 0
    marked: int = 0
    validation: PendingValidation | None = None
    validated: int = 0
    validations: int = 0
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
    behind: Mapping[str, float] = field(default_factory=dict)
    slow: Mapping[str, float] = field(default_factory=dict)
    relieved: float = -inf
    eased: Mapping[tuple[int, int], float] = field(default_factory=dict)

    # --- what it says ----------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """All batches are used, and every shard has them."""
        if self.spec.synchronous:
            return self.committed == self.spec.steps and all(
                status is not None and status.committed == self.committed for status in self.index.statuses
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
        if self.validation is not None:
            return False
        done = self.complete and not self.validation_due
        return done or (self.stopping and (self.spec.synchronous or not self.leased))

    @property
    def validation_due(self) -> int:
        """The newest step whose parameters are to be validated and have not been, 0 if there is none."""
        spec = self.spec
        if not spec.validate_every:
            return 0
        step = self.committed if spec.synchronous else self.pool.used // spec.replicas
        due = spec.steps if self.complete else step - step % spec.validate_every
        return due if due > self.validated else 0

    def order_for(self, slot: int) -> ValidationOrder | None:
        """Return what a replica is to validate now, if anything."""
        pending = self.validation
        return pending.order if pending is not None and pending.slot == slot else None

    def status(self, shard: int) -> PrimaryStatus | None:
        """Return the last status of a shard's primary in its present term."""
        return self.index.statuses[shard]

    def computed_by(self, shard: int) -> tuple[str | None, ...]:
        """Return the workers of the tile whose parameters a shard has, in each replica."""
        tile = self.spec.tile_of(shard)
        return tuple(slot.tiles[tile] for slot in self.slots)

    def primaries_of(self, tile: int) -> tuple[str | None, ...]:
        """Return the workers of the primaries of a tile's shards."""
        return tuple(self.shards[shard].primary for shard in self.spec.shards_of(tile))

    def needed_by(self, slot: int, tile: int) -> tuple[str | None, ...]:
        """Return the workers that a tile of a replica exchanges messages with: partners, and primaries of its shards."""
        return (*self.spec.partners_of(tile, self.slots[slot].tiles), *self.primaries_of(tile))

    def roles(self, worker: str) -> Roles:
        return self.index.roles.get(worker, NOTHING)

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
        member = self.members.get(worker) if worker is not None else None
        return member.tiles if member is not None else ()

    def done(self, slot: int) -> int:
        """Return below which number all tiles of a replica have had their updates acknowledged in this generation."""
        return self.index.progress[slot].least(self.spec.tiles)

    def safe_everywhere(self, part: int) -> bool:
        """Whether all shards have a part of the step to be committed next, safely."""
        return self.index.safe[part] == len(self.shards)

    def usable(self) -> Iterator[tuple[str, Member]]:
        """Yield the workers that may be given roles, in the order of their names."""
        for name in sorted(self.members):
            member = self.members[name]
            if not member.draining:
                yield name, member

    def reach(self, worker: str, others: Iterable[str | None]) -> bool:
        """Whether no link between a worker and some others is suspected."""
        return not self.apart or self.apart.get(worker, frozenset()).isdisjoint(others)

    # --- how it changes --------------------------------------------------------------------------------------------

    def _with(self, **fields: object) -> Table:
        """Do what `replace` does, which takes fifteen times as long where there are so many fields."""
        assert fields.keys() <= self.__dict__.keys()
        table: Table = object.__new__(Table)
        table.__dict__.update(self.__dict__)
        table.__dict__.update(fields)
        return table

    def with_slot(self, index: int, slot: Slot) -> Table:
        old, found = self.slots[index], self.index
        slots = (*self.slots[:index], slot, *self.slots[index + 1 :])
        if slot.tiles is old.tiles and slot.generation == old.generation:
            return self._with(slots=slots)
        roles = with_tiles(found.roles, index, old, slot)
        found = Index(roles, found.progress, found.statuses, found.safe)
        return self._with(slots=slots, index=found)._counted_anew(index)

    def with_slots(self, slots: Iterable[Slot]) -> Table:
        """Return the table with these in the places of all slots."""
        table = self
        for index, (old, new) in enumerate(zip(self.slots, slots, strict=True)):
            if new is not old:
                table = table.with_slot(index, new)
        return table

    def with_shard(self, index: int, shard: ServerPair) -> Table:
        old, found = self.shards[index], self.index
        shards = (*self.shards[:index], shard, *self.shards[index + 1 :])
        roles = with_servers(found.roles, index, old, shard)
        found = Index(roles, found.progress, found.statuses, found.safe)
        table = self._with(shards=shards, index=found)
        if (shard.term, shard.primary) == (old.term, old.primary):
            return table
        return table._with_status(index, status_of(shard, index, self.members))

    def with_member(self, worker: str, member: Member) -> Table:
        """Return the table with a worker, or with what it has reported now."""
        old = self.members.get(worker)
        table = self._with(members=self.members.with_record(worker, member))
        if old is None or old.tiles != member.tiles:
            table = table._with_tile_statuses(worker, () if old is None else old.tiles, member.tiles)
        for shard in self.roles(worker).primaries:
            status = status_of(table.shards[shard], shard, table.members)
            if status != table.index.statuses[shard]:
                table = table._with_status(shard, status)
        return table

    def without_member(self, worker: str) -> Table:
        """Return the table without a worker that has no roles any more."""
        assert self.roles(worker) == NOTHING, "its roles go first"
        return self._with(members=self.members.without(worker), contacts=self.contacts.without(worker))

    def with_contact(self, worker: str, contact: Contact) -> Table:
        sent = contact.desired.version if contact.desired is not None else 0
        contacts = self.contacts.with_record(worker, contact)
        return self._with(contacts=contacts, version=max(self.version, sent))

    def with_committed(self, steps: int, norms: tuple[float, ...] = ()) -> Table:
        """Return the table where so many synchronous steps are committed, the last one with these squared norms."""
        counts = safe(self.index.statuses, steps, len(self.slots))
        return self._with(
            committed=steps,
            norms=norms,
            index=Index(self.index.roles, self.index.progress, self.index.statuses, counts),
        )

    def with_lease_end(self, shard: int, until: float) -> Table:
        """Return the table where the lease of a shard's primary lasts until then, if it did not last longer."""
        ends = self.lease_ends
        if until <= ends[shard]:
            return self
        return self._with(lease_ends=(*ends[:shard], until, *ends[shard + 1 :]))

    def with_lease_over(self, shard: int) -> Table:
        """Return the table where the lease of a shard's primary is over, since its process has ended."""
        ends = self.lease_ends
        return self._with(lease_ends=(*ends[:shard], -inf, *ends[shard + 1 :]))

    def enrolled(self) -> Table:
        """Return the table with the roster of its active slots; the version rises if it changed."""
        live = tuple(LiveReplica(i, s.generation, s.start) for i, s in enumerate(self.slots) if s.active)
        if live == self.roster.live:
            return self
        return self._with(roster=Roster(self.roster.version + 1, live))

    def indexed(self) -> Table:
        """Return the table with its index built afresh."""
        return self._with(index=built(self.slots, self.shards, self.members, self.committed))

    def _counted_anew(self, slot: int) -> Table:
        """Count how far the tiles of a slot are: they have changed hands, or begin again."""
        progress = Progress()
        for status in self.tile_statuses(slot):
            progress = progress.with_status(None, status)
        return self._with_progress(slot, progress)

    def _with_tile_statuses(
        self, worker: str, old: tuple[TileStatus, ...], new: tuple[TileStatus, ...]
    ) -> Table:
        before, after = counted(self.slots, worker, old), counted(self.slots, worker, new)
        table = self
        for key in before.keys() | after.keys():
            was, now = before.get(key), after.get(key)
            if was != now:
                progress = table.index.progress[key[0]].with_status(was, now)
                table = table._with_progress(key[0], progress)
        return table

    def _with_progress(self, slot: int, progress: Progress) -> Table:
        found = self.index
        changed = (*found.progress[:slot], progress, *found.progress[slot + 1 :])
        return self._with(index=Index(found.roles, changed, found.statuses, found.safe))

    def _with_status(self, shard: int, status: PrimaryStatus | None) -> Table:
        found = self.index
        counts = list(found.safe)
        for part in parts_of(found.statuses[shard], self.committed, len(counts)):
            counts[part] -= 1
        for part in parts_of(status, self.committed, len(counts)):
            counts[part] += 1
        statuses = (*found.statuses[:shard], status, *found.statuses[shard + 1 :])
        return self._with(index=Index(found.roles, found.progress, statuses, tuple(counts)))
