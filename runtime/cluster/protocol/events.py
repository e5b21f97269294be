"""What a host tells a machine.

Every event carries `now`, the host's clock (clock.py) at the moment when the machine is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from .deaths import Cause
from .messages import Books, Memory, Message, Payload
from .seen import Update

COORDINATOR = "coordinator"


@dataclass(frozen=True, slots=True)
class Owner:
    """`kind`: "tile" (`slot`, `index`) or "server" (`index`, slot 0)."""

    kind: str
    slot: int
    index: int
    life: int


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
class Installed:
    """`InstallCheckpoint` is done; `books` as they were saved, None if the shard was never saved in this shape."""

    now: float
    owner: Owner
    books: Books | None


@dataclass(frozen=True, slots=True)
class Applied:
    now: float
    owner: Owner
    position: int


@dataclass(frozen=True, slots=True)
class ReadDone:
    """The parameters, for a replica."""

    now: float
    owner: Owner
    ticket: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """Parameters and optimiser state, for a standby."""

    now: float
    owner: Owner
    filling: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The shard's file is whole on the disk under its aside name; `digest` None: it could not be written."""

    now: float
    owner: Owner
    id: int
    digest: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Computed:
    """A step is done; `payload`: the sum of the update's gradients after its last step, else None."""

    now: float
    owner: Owner
    update: Update
    index: int
    payload: Payload | None


@dataclass(frozen=True, slots=True)
class PeerLost:
    """An exchange with another tile of the replica failed: the step cannot be finished."""

    now: float
    owner: Owner


@dataclass(frozen=True, slots=True)
class Unreached:
    """All `peers` that have acknowledged nothing for `Times.doubt` of what was sent to them, those for longest first."""

    now: float
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What memory there is for a worker's roles now."""

    now: float
    memory: Memory


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """To the coordinator: the host saw a worker's process or connection end. `place`: the name of one that never joined."""

    now: float
    worker: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """To the coordinator: who watches over a worker's process, or it itself, says why it ended. `worker`: its address."""

    now: float
    worker: str
    place: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class DrainWanted:
    """To the coordinator: move everything off a worker in order."""

    now: float
    worker: str


@dataclass(frozen=True, slots=True)
class CheckpointWanted:
    now: float


@dataclass(frozen=True, slots=True)
class StopWanted:
    """To the coordinator: save a checkpoint, then stop everybody."""

    now: float


@dataclass(frozen=True, slots=True)
class ManifestWritten:
    """To the coordinator: a manifest is committed, or `error` says why not."""

    now: float
    id: int
    error: str = ""


WorkerEvent = (
    Received
    | Tick
    | Installed
    | Applied
    | ReadDone
    | SnapshotTaken
    | CheckpointSaved
    | Computed
    | PeerLost
    | Unreached
    | Measured
)
CoordinatorEvent = (
    Received | Tick | WorkerLost | WorkerEnded | DrainWanted | CheckpointWanted | StopWanted | ManifestWritten
)
