"""What a host tells a state machine.

Every event carries `now`, the host's clock (clock.py) at the moment when the machine is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from .deaths import Cause
from .messages import Message, Payload, ShardMetadata, WorkerMemory
from .updates import Update
from .validations import ValidatedPart, WrittenParams

COORDINATOR = "coordinator"


@dataclass(frozen=True, slots=True)
class RoleId:
    """A role of a process. `kind`: "tile" (`slot`, `index`) or "server" (`index`, slot 0); `serial`: unique there."""

    kind: str
    slot: int
    index: int
    serial: int


@dataclass(frozen=True, slots=True)
class Received:
    """`sender`: the worker at the other end of the connection, or COORDINATOR."""

    now: float
    sender: str
    message: Message


@dataclass(frozen=True, slots=True)
class Tick:
    """The time of the last `SetTimer` has come."""

    now: float


@dataclass(frozen=True, slots=True)
class CheckpointLoaded:
    """`LoadCheckpoint` is done; `metadata` as it was saved, None if the shard was never saved in this shape."""

    now: float
    role: RoleId
    metadata: ShardMetadata | None


@dataclass(frozen=True, slots=True)
class Applied:
    now: float
    role: RoleId
    position: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The squared norms of a synchronous step at this shard."""

    now: float
    role: RoleId
    step: int
    norms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ParamsRead:
    """The parameters, for a replica."""

    now: float
    role: RoleId
    ticket: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """Parameters and optimiser state, for a standby."""

    now: float
    role: RoleId
    incarnation: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class ShardSaved:
    """The shard's file is whole on the disk under its aside name; `digest` None: it could not be written."""

    now: float
    role: RoleId
    id: int
    digest: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Computed:
    """A step is done; `payloads`: after the update's last step the sum of its gradients, for each of the tile's shards.

    `seconds`: what it took this tile, without waiting for images and for other tiles.
    """

    now: float
    role: RoleId
    update: Update
    index: int
    payloads: tuple[Payload, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class PartValidated:
    """A tile has validated its fetched parameters together with its peers."""

    now: float
    role: RoleId
    part: ValidatedPart


@dataclass(frozen=True, slots=True)
class ParamsWritten:
    """The parameters that a tile validated in attempt `id` are on the disk, or could not be written."""

    now: float
    role: RoleId
    id: int
    written: WrittenParams


@dataclass(frozen=True, slots=True)
class PeerLost:
    """An exchange with another tile of the replica failed: the step cannot be finished."""

    now: float
    role: RoleId


@dataclass(frozen=True, slots=True)
class PeersUnreachable:
    """All `peers` that have acknowledged nothing for `Times.link_timeout`, the longest silent first."""

    now: float
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemoryMeasured:
    """The memory that a worker has for its roles now."""

    now: float
    memory: WorkerMemory


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """To the coordinator: the host saw a worker's process or connection end. `place`: the name of one that never joined."""

    now: float
    worker: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class WorkerExited:
    """To the coordinator: why a worker's process ended, by its nanny or itself. `worker`: its address.

    `confirmed`: its nanny saw it end.
    """

    now: float
    worker: str
    place: str
    cause: Cause
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """To the coordinator: move all roles off a worker in an orderly way."""

    now: float
    worker: str


@dataclass(frozen=True, slots=True)
class CheckpointRequested:
    now: float


@dataclass(frozen=True, slots=True)
class StopRequested:
    """To the coordinator: save a checkpoint, then stop everybody."""

    now: float


@dataclass(frozen=True, slots=True)
class ManifestWritten:
    """To the coordinator: a manifest is committed, or `error` says why not."""

    now: float
    id: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """To the coordinator: whether the parameters that attempt `id` validated are the best so far, and to be kept."""

    now: float
    id: int
    best: bool


@dataclass(frozen=True, slots=True)
class BestKept:
    """To the coordinator: the best parameters so far, of attempt `id`, are in place, or are given up."""

    now: float
    id: int


WorkerEvent = (
    Received
    | Tick
    | CheckpointLoaded
    | Applied
    | Measured
    | ParamsRead
    | SnapshotTaken
    | ShardSaved
    | Computed
    | PartValidated
    | ParamsWritten
    | PeerLost
    | PeersUnreachable
    | MemoryMeasured
)
CoordinatorEvent = (
    Received
    | Tick
    | WorkerLost
    | WorkerExited
    | DrainRequested
    | CheckpointRequested
    | StopRequested
    | ManifestWritten
    | Judged
    | BestKept
)
