"""Everything that goes over the wire.

    worker      <-> coordinator    Report, Orders       what is, what should be: each one whole, so a lost one is no matter
    tile         -> primary        Push, Pull
    primary      -> tile           Pushed, Params
    primary     <-> standby        Fill, Log, Held
    nanny        -> coordinator    Ended

Every message carries the run's token and what fences it: the term of the primary, the generation of the replica, the
filling of the standby, or a number that only rises. Replies go to the worker that a message came from. `Payload` is
opaque: only the host knows what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .deaths import Cause
from .seen import Seen, Update

Payload = object


@dataclass(frozen=True, slots=True)
class Task:
    """An update to compute, and the batch numbers of its steps."""

    update: Update
    batches: tuple[int, ...]


# --- what a server keeps -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """One update at one shard, computed by a `generation` of its replica.

    `age`: how many updates were taken between the fetch it was computed from and itself; `floor`: numbers of its slot
    below this are in or will never come.
    """

    update: Update
    generation: int
    payload: Payload
    age: int
    floor: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a shard's log. `part` None: apply what is staged (synchronous only)."""

    position: int
    part: Part | None


@dataclass(frozen=True, slots=True)
class Books:
    """What goes with a shard's parameters wherever they go: lines taken, steps committed, updates seen."""

    head: int
    committed: int
    seen: Seen


# --- tile and server -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sender:
    """What fences the messages between a tile and its primary."""

    run: str
    shard: int
    term: int
    slot: int
    generation: int


@dataclass(frozen=True, slots=True)
class Push:
    """`version` is the primary's head when it answered the fetch."""

    fence: Sender
    update: Update
    version: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Pushed:
    """The update is applied or staged, as `generation` computed it; `durable`: at the standby, too."""

    fence: Sender
    update: Update
    generation: int
    durable: bool


@dataclass(frozen=True, slots=True)
class Pull:
    fence: Sender
    step: int


@dataclass(frozen=True, slots=True)
class Params:
    fence: Sender
    step: int
    version: int
    payload: Payload


# --- primary and standby -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """What fences the messages between a primary and its standby."""

    run: str
    shard: int
    term: int
    filling: int


@dataclass(frozen=True, slots=True)
class Fill:
    """A snapshot for a new standby; `staged`: parts of the step that is not committed yet."""

    fence: Pair
    books: Books
    staged: tuple[Part, ...]
    payload: Payload


@dataclass(frozen=True, slots=True)
class Log:
    fence: Pair
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """The standby holds the log up to and with `head`."""

    fence: Pair
    head: int


# --- worker and coordinator ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Live:
    """A replica that counts for staleness; its numbers below `start` count as applied."""

    slot: int
    generation: int
    start: int


@dataclass(frozen=True, slots=True)
class Roster:
    """The live replicas; `version` rises with every change."""

    version: int
    live: tuple[Live, ...]

    def find(self, slot: int) -> Live | None:
        return next((live for live in self.live if live.slot == slot), None)


@dataclass(frozen=True, slots=True)
class TileDuty:
    """Be tile `tile` of replica `slot`: compute `work` in order, with `peers` (the workers of all its tiles).

    `server`: the worker of the primary and its term; None while there is none.
    """

    slot: int
    tile: int
    generation: int
    peers: tuple[str, ...]
    server: tuple[str, int] | None
    work: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """Begin with the shard as a checkpoint has it; None: with the initial parameters."""

    checkpoint: int | None


@dataclass(frozen=True, slots=True)
class Promoted:
    """Go on with what the standby of this filling holds."""

    filling: int


@dataclass(frozen=True, slots=True)
class Reinstated:
    """Go on with what the retired primary of this term holds."""

    term: int


@dataclass(frozen=True, slots=True)
class CheckpointRequest:
    """Save the shard as checkpoint `id`; synchronous: when exactly `at` steps are committed."""

    id: int
    at: int | None


@dataclass(frozen=True, slots=True)
class PrimaryDuty:
    """Be the primary of a shard, from `origin` on. `leased`: this order renews the lease.

    `standby`: its worker and its filling; `ready`: the coordinator would promote it, so that it makes updates durable.
    """

    shard: int
    term: int
    origin: Restored | Promoted | Reinstated
    leased: bool
    standby: tuple[str, int] | None
    ready: bool
    roster: Roster
    commit: int
    checkpoint: CheckpointRequest | None


@dataclass(frozen=True, slots=True)
class StandbyDuty:
    shard: int
    term: int
    filling: int


@dataclass(frozen=True, slots=True)
class ReserveDuty:
    """Keep what the primary of this term held, until its successor has a standby."""

    shard: int
    term: int


@dataclass(frozen=True, slots=True)
class Orders:
    """All that a worker is to be; what is not listed, it drops. `echo`: `sent` of the newest report known."""

    run: str
    worker: str
    version: int
    echo: float
    tiles: tuple[TileDuty, ...]
    primaries: tuple[PrimaryDuty, ...]
    standbys: tuple[StandbyDuty, ...]
    reserves: tuple[ReserveDuty, ...]
    stop: bool = False


@dataclass(frozen=True, slots=True)
class TileStatus:
    """`done`: the tile's updates below this number are acknowledged. `stuck`: a peer is lost.

    `earlier`: of the acknowledged ones, those that the shard has from an earlier generation, and from which.
    """

    slot: int
    tile: int
    generation: int
    done: int
    stuck: bool
    earlier: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """A shard's part of a checkpoint, with the updates `seen` in it; `digest` None: it failed, for `reason`."""

    id: int
    digest: str | None
    reason: str = ""
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class PrimaryStatus:
    """`ready`: the filling of the standby that holds all that is acknowledged. `found`: the table it was restored with."""

    shard: int
    term: int
    ready: int | None
    roster: int
    committed: int
    staged: tuple[int, ...]
    saved: Saved | None
    found: Seen | None


@dataclass(frozen=True, slots=True)
class Memory:
    """What a worker can hold, in bytes. `free`: what is left now of what it shares with others, `held`: what it took of
    it since it joined; `pool` tells apart what is shared (a machine, a cgroup). `limit`: of its own, for its roles.
    """

    pool: str
    free: int
    held: int
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """`host`: the machine, so that a standby can be put on another; `place`: the plan's name for the worker.

    `unreached`: workers that acknowledge nothing, at most `MOST_NAMED`. `memory` None: it is not known.
    """

    run: str
    worker: str
    number: int
    sent: float
    host: str
    place: str
    capacity: int
    tiles: tuple[TileStatus, ...]
    primaries: tuple[PrimaryStatus, ...]
    unreached: tuple[str, ...] = ()
    memory: Memory | None = None


MOST_NAMED = 8
"""Workers that a report may name as not reached: those for which the wait has been longest."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process ended. Its nanny says so, or it itself before the end: `address` is that of whoever says it."""

    run: str
    address: str
    place: str
    cause: Cause


Message = Push | Pushed | Pull | Params | Fill | Log | Held | Orders | Report
