"""What a state machine tells its host to do.

The host keeps the numerics of a role (parameters, optimiser state, gradients under way) from its first instruction until
`Drop`. The numeric instructions of one role are performed one at a time in the order given; those of different roles
independently. An event about a role that is gone is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from .deaths import Death
from .events import RoleId
from .manifest import Manifest
from .messages import Message, Payload, PushedUpdate, ShardMetadata
from .updates import Update
from .validations import ValidatedPart, ValidationOrder


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message, unless the clock has passed `before` when its bytes are handed to the connection."""

    to: str
    message: Message
    before: float | None = None

    def late(self, now: float) -> bool:
        """Whether it must not be sent any more."""
        return self.before is not None and now >= self.before


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Tick at this time; takes the place of the timer set before."""

    at: float


@dataclass(frozen=True, slots=True)
class Refused:
    """A message was stale or misdirected: count and log it."""

    reason: str
    message: Message


@dataclass(frozen=True, slots=True)
class LoadCheckpoint:
    """Load a shard from a checkpoint, or None: the initial parameters. Answered by `CheckpointLoaded`."""

    role: RoleId
    checkpoint: int | None


@dataclass(frozen=True, slots=True)
class LoadSnapshot:
    """Take a primary's snapshot as the standby's state."""

    role: RoleId
    payload: Payload


@dataclass(frozen=True, slots=True)
class Apply:
    """Fold updates into the parameters: one alone, or all parts of a synchronous step in this order.

    `norms`: squared ones of the step, over all shards, by which its mean is clipped. Answered by `Applied`.
    """

    role: RoleId
    position: int
    parts: tuple[PushedUpdate, ...]
    norms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """Return the squared norms of the mean of a synchronous step's parts at this shard. Answered by `Measured`."""

    role: RoleId
    step: int
    parts: tuple[PushedUpdate, ...]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An update came that is applied or staged already: repeated by the network, or computed again after a loss."""

    role: RoleId
    update: Update


@dataclass(frozen=True, slots=True)
class ReadParams:
    """Answered by `ParamsRead`."""

    role: RoleId
    ticket: int


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Answered by `SnapshotTaken`."""

    role: RoleId
    incarnation: int


@dataclass(frozen=True, slots=True)
class SaveShard:
    """Write the state of this moment and its metadata to a temporary file of a checkpoint. Answered by `ShardSaved`."""

    role: RoleId
    id: int
    metadata: ShardMetadata


@dataclass(frozen=True, slots=True)
class LoadParams:
    """Take fetched parameters, from each of the tile's shards, as its own copy."""

    role: RoleId
    step: int
    payloads: tuple[Payload, ...]


@dataclass(frozen=True, slots=True)
class Compute:
    """Compute step `index` of an update with the peers of this generation. Answered by `Computed` or `PeerLost`.

    `first`: start the sum of gradients anew; `last`: return it, divided between the tile's shards; `onward`: the next step
    begins with the own copy of the parameters, so step it, too.
    """

    role: RoleId
    generation: int
    peers: tuple[str, ...]
    update: Update
    index: int
    batch: int
    first: bool
    last: bool
    onward: bool


@dataclass(frozen=True, slots=True)
class Validate:
    """Validate the own copy of the parameters with the peers of this generation: attempt `id`, after so many steps.

    Answered by `PartValidated` or `PeerLost`.
    """

    role: RoleId
    generation: int
    peers: tuple[str, ...]
    id: int
    step: int


@dataclass(frozen=True, slots=True)
class WriteParams:
    """Write the own copy of the parameters aside, as best ones of attempt `id`. Answered by `ParamsWritten`."""

    role: RoleId
    id: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up the step or the validation under way, and the sum; no answer."""

    role: RoleId


@dataclass(frozen=True, slots=True)
class Drop:
    """The role is over: free its numerics."""

    role: RoleId


@dataclass(frozen=True, slots=True)
class CommitManifest:
    """Write a manifest aside and rename it, after which the checkpoint counts. Answered by `ManifestWritten`."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Judge:
    """Add up what the tiles of a replica found, and compare it with the best so far. Answered by `Judged`.

    It is logged, unless it is the best: that is logged once it is kept.
    """

    order: ValidationOrder
    parts: tuple[ValidatedPart, ...]


@dataclass(frozen=True, slots=True)
class KeepBest:
    """Let the parameters of a validation count as the best: `digests` of all shards, none if they could not be written,
    for `reason`. Answered by `BestKept`.
    """

    order: ValidationOrder
    digests: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeclareLost:
    """Acknowledged updates of a shard that are in no process any more; the shard goes on from `checkpoint`."""

    shard: int
    checkpoint: int | None
    updates: tuple[Update, ...]


@dataclass(frozen=True, slots=True)
class DeclareRollback:
    """Synchronous: steps from `step` up to `reached` are computed again, because shard `shard` was lost."""

    shard: int
    checkpoint: int | None
    step: int
    reached: int


@dataclass(frozen=True, slots=True)
class DeclareTorn:
    """Asynchronous: a replica lost a tile, and some shards have this update from before, others from after that."""

    update: Update


@dataclass(frozen=True, slots=True)
class DeclareLapsed:
    """No worker has room for the lost tiles of replica `slot`: `missing` bytes, or it is not memory that they lack.

    Asynchronous: it gives `batches` back.

    Others compute them under other numbers, so shards that had already taken their updates take them a second time.
    """

    slot: int
    batches: tuple[int, ...]
    missing: int = 0


@dataclass(frozen=True, slots=True)
class DeclareSlow:
    """A worker takes so many `times` the median of replica `slot` for its planned work: it is slow, or no more."""

    worker: str
    slot: int
    times: float


@dataclass(frozen=True, slots=True)
class Note:
    """For the event log: `what` happened to whom, in plain words; `routine`: at every step, and the log has it as such."""

    what: str
    routine: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The run can never go on: processes ended again and again, and no step was finished in `seconds`.

    `rollbacks`: how many times all steps since the last checkpoint were lost.
    """

    deaths: tuple[Death, ...]
    seconds: float
    rollbacks: int = 0


@dataclass(frozen=True, slots=True)
class Drained:
    """A worker has no role any more and may leave."""

    worker: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over, with this last checkpoint; None: not one could be written."""

    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """To a worker's host: the run is over, all roles are dropped."""


Instruction = (
    Send
    | SetTimer
    | Refused
    | LoadCheckpoint
    | LoadSnapshot
    | Apply
    | Measure
    | Duplicate
    | ReadParams
    | TakeSnapshot
    | SaveShard
    | LoadParams
    | Compute
    | Validate
    | WriteParams
    | Cancel
    | Drop
    | CommitManifest
    | Judge
    | KeepBest
    | DeclareLost
    | DeclareRollback
    | DeclareTorn
    | DeclareLapsed
    | DeclareSlow
    | Note
    | GiveUp
    | Drained
    | Finish
    | Stopped
)

State = TypeVar("State")
Transition = tuple[State, tuple[Instruction, ...]]
"""What a step of a state machine returns: its next state, and the instructions for the host."""
