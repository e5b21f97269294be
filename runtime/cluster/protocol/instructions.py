"""What a machine tells its host to do.

The host keeps an owner's numerics (parameters, optimiser state, gradients under way) from its first instruction until
`Drop`. The numeric instructions of one owner are performed one at a time in the order given; those of different owners
independently. An event about an owner that is gone is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

from .deaths import Death
from .events import Owner
from .manifest import Manifest
from .messages import Books, Message, Part, Payload
from .seen import Update


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
    """A message was not for us any more: count and log it."""

    reason: str
    message: Message


@dataclass(frozen=True, slots=True)
class InstallCheckpoint:
    """Load a shard from a checkpoint, or None: the initial parameters. Answered by `Installed`."""

    owner: Owner
    checkpoint: int | None


@dataclass(frozen=True, slots=True)
class InstallSnapshot:
    """Take a primary's snapshot as own state."""

    owner: Owner
    payload: Payload


@dataclass(frozen=True, slots=True)
class Apply:
    """Fold updates into the parameters: one alone, or all parts of a synchronous step in this order.

    Answered by `Applied`.
    """

    owner: Owner
    position: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """An update came that is applied or staged already: repeated by the network, or computed again after a loss."""

    owner: Owner
    update: Update


@dataclass(frozen=True, slots=True)
class Read:
    """Answered by `ReadDone`."""

    owner: Owner
    ticket: int


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Answered by `SnapshotTaken`."""

    owner: Owner
    filling: int


@dataclass(frozen=True, slots=True)
class SaveShard:
    """Write the state of this moment, with its books, aside for a checkpoint. Answered by `CheckpointSaved`."""

    owner: Owner
    id: int
    books: Books


@dataclass(frozen=True, slots=True)
class InstallParams:
    """Take fetched parameters as the replica's own copy."""

    owner: Owner
    step: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Compute:
    """Compute step `index` of an update with the peers of this generation. Answered by `Computed` or `PeerLost`.

    `first`: start the sum of gradients anew; `last`: return it; `onward`: the next step begins with the own copy of the
    parameters, so step it, too.
    """

    owner: Owner
    generation: int
    peers: tuple[str, ...]
    update: Update
    index: int
    batch: int
    first: bool
    last: bool
    onward: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up the step under way and the sum; no answer."""

    owner: Owner


@dataclass(frozen=True, slots=True)
class Drop:
    """The role is over: free its numerics."""

    owner: Owner


@dataclass(frozen=True, slots=True)
class CommitManifest:
    """Write a manifest aside and rename it, after which the checkpoint counts. Answered by `ManifestWritten`."""

    manifest: Manifest


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
    | InstallCheckpoint
    | InstallSnapshot
    | Apply
    | Skipped
    | Read
    | TakeSnapshot
    | SaveShard
    | InstallParams
    | Compute
    | Cancel
    | Drop
    | CommitManifest
    | DeclareLost
    | DeclareRollback
    | DeclareTorn
    | DeclareLapsed
    | Note
    | GiveUp
    | Drained
    | Finish
    | Stopped
)
