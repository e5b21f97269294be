"""Everything that goes over the wire.

    worker       -> coordinator    Heartbeat            the state of its roles
    coordinator  -> worker         DesiredStateChange   the state that they are to have
                                   LeaseRenewal         the same as before
                                   HeartbeatRequest     a whole heartbeat is wanted
    tile         -> primary        Pull, Push
    primary      -> tile           PullReply, PushAck
    primary      -> standby        InstallSnapshot, AppendEntries
    standby      -> primary        AppendAck
    nanny        -> coordinator    ProcessExited

Both ends tell each other what is different since what they told before, and name that; an end that lacks it takes nothing
from the message and is told everything, so losing a message does no harm. Every message carries the run's token and what
fences it: the term of the primary, the generation of the replica, the incarnation of the standby, or a number that only
rises. Replies go to the worker that a message came from. `Payload` is opaque: only the host knows what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .deaths import Cause
from .updates import AppliedUpdates, Update, UpdateNumbers
from .validations import ValidatedPart, ValidationOrder

Payload = object


@dataclass(frozen=True, slots=True)
class Task:
    """An update to compute, and the batch numbers of its steps."""

    update: Update
    batches: tuple[int, ...]


# --- what a server keeps -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PushedUpdate:
    """One update at one shard, computed by a `generation` of its replica.

    `age`: how many updates were taken between the fetch it was computed from and itself; `low_water`: the low-water mark
    of its slot, below which every number is applied or will never come.
    """

    update: Update
    generation: int
    payload: Payload
    age: int
    low_water: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of a shard's log. `pushed` None: apply what is staged (synchronous only).

    `norms`: the squared ones by which that is clipped.
    """

    position: int
    pushed: PushedUpdate | None
    norms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardMetadata:
    """What goes with a shard's parameters wherever they go: log entries taken, steps committed, updates applied."""

    kind: ClassVar[str] = "Books"  # the name that checkpoints have for it since version 0.1
    head: int
    committed: int
    updates: AppliedUpdates


# --- tile and server -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TileFence:
    """Fences the messages between a tile and its primary."""

    run: str
    shard: int
    term: int
    slot: int
    generation: int


@dataclass(frozen=True, slots=True)
class Push:
    """`version` is the primary's head when it answered the fetch."""

    fence: TileFence
    update: Update
    version: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class PushAck:
    """The update is applied or staged, as `generation` computed it; `durable`: the standby has it, too."""

    fence: TileFence
    update: Update
    generation: int
    durable: bool


@dataclass(frozen=True, slots=True)
class Pull:
    fence: TileFence
    step: int


@dataclass(frozen=True, slots=True)
class PullReply:
    fence: TileFence
    step: int
    version: int
    payload: Payload


# --- primary and standby -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StandbyFence:
    """Fences the messages between a primary and its standby."""

    run: str
    shard: int
    term: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class InstallSnapshot:
    """A snapshot for a new standby; `staged`: parts of the step that is not committed yet."""

    fence: StandbyFence
    metadata: ShardMetadata
    staged: tuple[PushedUpdate, ...]
    payload: Payload


@dataclass(frozen=True, slots=True)
class AppendEntries:
    fence: StandbyFence
    entries: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True)
class AppendAck:
    """The standby has all entries up to and including `head`."""

    fence: StandbyFence
    head: int


# --- worker and coordinator ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LiveReplica:
    """A replica that counts for staleness; its numbers below `start` count as applied."""

    slot: int
    generation: int
    start: int


@dataclass(frozen=True, slots=True)
class Roster:
    """The live replicas; `version` rises with every change."""

    version: int
    live: tuple[LiveReplica, ...]

    def find(self, slot: int) -> LiveReplica | None:
        return next((live for live in self.live if live.slot == slot), None)


@dataclass(frozen=True, slots=True)
class TileAssignment:
    """Be tile `tile` of replica `slot`: compute `work` in order, with `peers` (the workers of all its tiles).

    `servers`: for each of the tile's shards the worker of the primary and its term; None while there is none.
    `validation`: to be made between two updates, until another order or none comes.
    """

    slot: int
    tile: int
    generation: int
    peers: tuple[str, ...]
    servers: tuple[tuple[str, int] | None, ...]
    work: tuple[Task, ...]
    validation: ValidationOrder | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """Begin with the shard as a checkpoint has it; None: with the initial parameters."""

    checkpoint: int | None


@dataclass(frozen=True, slots=True)
class Promoted:
    """Go on with the state of the standby of this incarnation."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class Reinstated:
    """Go on with the state of the retired primary of this term."""

    term: int


Origin = Restored | Promoted | Reinstated
"""What a new primary begins with."""


@dataclass(frozen=True, slots=True)
class CheckpointRequest:
    """Save the shard as checkpoint `id`; synchronous: when exactly `at` steps are committed."""

    id: int
    at: int | None


@dataclass(frozen=True, slots=True)
class PrimaryAssignment:
    """Be the primary of a shard, from `origin` on. `leased`: renews the lease.

    `standby`: its worker and its incarnation; `ready`: the coordinator would promote it, so that it makes updates durable.
    `declares`: the coordinator waits for which updates the checkpoint had that it began with. `norms`: the squared norms of
    the step that `commit` is the last to commit, over all shards; none where nothing is clipped.
    """

    shard: int
    term: int
    origin: Origin
    leased: bool
    standby: tuple[str, int] | None
    ready: bool
    roster: Roster
    commit: int
    checkpoint: CheckpointRequest | None
    declares: bool = False
    norms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class StandbyAssignment:
    shard: int
    term: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class ReserveAssignment:
    """Keep the state of the primary of this term until its successor has a standby."""

    shard: int
    term: int


@dataclass(frozen=True, slots=True)
class DesiredState:
    """All roles that a worker is to have; it drops those not listed. `echo`: `sent` of its newest heartbeat known."""

    run: str
    worker: str
    version: int
    echo: float
    tiles: tuple[TileAssignment, ...]
    primaries: tuple[PrimaryAssignment, ...]
    standbys: tuple[StandbyAssignment, ...]
    reserves: tuple[ReserveAssignment, ...]
    stop: bool = False


@dataclass(frozen=True, slots=True)
class LeaseRange:
    """Tasks of consecutive updates of a slot, from number `first` on: the batches of each."""

    slot: int
    first: int
    batches: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class TileChange:
    """A tile's assignment. `peers`, `servers` None: those that the tile has in this generation already."""

    slot: int
    tile: int
    generation: int
    peers: tuple[str, ...] | None
    servers: tuple[tuple[str, int] | None, ...] | None
    work: tuple[LeaseRange, ...]
    validation: ValidationOrder | None


@dataclass(frozen=True, slots=True)
class PrimaryChange:
    """A primary's assignment. `roster` None: the one that the primary has already."""

    shard: int
    term: int
    origin: Origin
    leased: bool
    standby: tuple[str, int] | None
    ready: bool
    roster: Roster | None
    commit: int
    checkpoint: CheckpointRequest | None
    declares: bool
    norms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DesiredStateChange:
    """What is different in a desired state since version `base` of it, 0: all of it. None: unchanged."""

    run: str
    worker: str
    version: int
    base: int
    echo: float
    tiles: tuple[TileChange, ...] | None
    primaries: tuple[PrimaryChange, ...] | None
    standbys: tuple[StandbyAssignment, ...] | None
    reserves: tuple[ReserveAssignment, ...] | None
    stop: bool


@dataclass(frozen=True, slots=True)
class LeaseRenewal:
    """The desired state of this version still holds: its primaries' leases last from `echo` on once more."""

    run: str
    worker: str
    version: int
    echo: float


@dataclass(frozen=True, slots=True)
class HeartbeatRequest:
    """A whole heartbeat is wanted: the newest was based on one that never came."""

    run: str
    worker: str


@dataclass(frozen=True, slots=True)
class TileStatus:
    """`done`: the tile's updates below this number are acknowledged. `stuck`: a peer is lost.

    `earlier`: of the acknowledged ones, those that a shard has from an earlier generation, with all generations that shards
    have them from. `pace`: what a step takes the tile itself, without waiting, in microseconds: the median of some steps, 0
    before. `validated`: what it has found in the validation that is ordered.
    """

    slot: int
    tile: int
    generation: int
    done: int
    stuck: bool
    earlier: tuple[tuple[int, int], ...] = ()
    pace: int = 0
    validated: ValidatedPart | None = None


@dataclass(frozen=True, slots=True)
class SavedShard:
    """A shard's file of a checkpoint, and the updates in it; `digest` None: it failed, for `reason`."""

    id: int
    digest: str | None
    reason: str = ""
    updates: UpdateNumbers | None = None


@dataclass(frozen=True, slots=True)
class PrimaryStatus:
    """`ready`: the incarnation of the standby that has all acknowledged updates.

    `saved`: for the checkpoint that is asked for; `restored`: the updates in the one that it began with, if asked for.
    `norms`: squared norms of the mean of the step to be committed next, once all its parts are staged, if it is clipped.
    """

    shard: int
    term: int
    ready: int | None
    roster: int
    committed: int
    staged: tuple[int, ...]
    saved: SavedShard | None
    restored: UpdateNumbers | None
    norms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerMemory:
    """What a worker can hold, in bytes. `free`: what is left now of what it shares with others, `held`: what it took of
    it since it joined; `pool` tells apart what is shared (a machine, a cgroup). `limit`: of its own, for its roles.
    """

    pool: str
    free: int
    held: int
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """`host`: the machine, so that a standby can be put on another; `place`: the plan's name for the worker; `capacity`:
    how many tiles it can hold.
    """

    host: str
    place: str
    capacity: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What is different in a worker's report since that with the number `base`, 0: all of it. None: unchanged.

    Where nothing is different the next one has the same base. `obeyed`: the version of the desired state that it has.
    `unreachable`: workers that acknowledge nothing, at most `MAX_UNREACHABLE`; `memory` None in a whole one: not known.
    """

    run: str
    worker: str
    number: int
    sent: float
    base: int
    obeyed: int
    process: Process | None = None
    tiles: tuple[TileStatus, ...] | None = None
    primaries: tuple[PrimaryStatus, ...] | None = None
    unreachable: tuple[str, ...] | None = None
    memory: WorkerMemory | None = None

    @property
    def bare(self) -> bool:
        """Whether it says that nothing has changed."""
        return (self.tiles, self.primaries, self.unreachable, self.memory) == (None, None, None, None)


MAX_UNREACHABLE = 8
"""Workers that a heartbeat may name as unreachable: those silent for longest."""


@dataclass(frozen=True, slots=True)
class ProcessExited:
    """A process ended. `address`: of the nanny that reports it, or of the process itself before it ends; `worker`: of the
    process that the nanny saw end, empty if it had none yet.
    """

    run: str
    address: str
    place: str
    cause: Cause
    worker: str = ""


ToWorker = DesiredStateChange | LeaseRenewal | HeartbeatRequest
"""What the coordinator sends."""
Message = (
    Push
    | PushAck
    | Pull
    | PullReply
    | InstallSnapshot
    | AppendEntries
    | AppendAck
    | Heartbeat
    | DesiredStateChange
    | LeaseRenewal
    | HeartbeatRequest
)
