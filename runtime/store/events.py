"""The kinds of events in the log of a run: the classes of `LogEvent`. log.py writes and reads them.

A class is the format of its lines: `event` (its `name`), `time`, then its fields in their order. A field whose default is
None is not in a line where it is None; any other default is what a log of an older version, which lacks the field, means.
Replicas, tiles and shards are numbers from 0, workers go by the names that people gave them. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .sums import Figures, ReplicaSteps, Slowest


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run; `name`: what it is called in its log, and between processes."""

    name: ClassVar[str]

    @property
    def text(self) -> str | None:
        """What a person is told of it; None for what only programs look at."""
        found: str | None = getattr(self, "message", None)
        return found


@dataclass(frozen=True, slots=True)
class LogEvent(Event):
    """An event of a log; `time`: seconds since 1970 when it was logged, 0 before."""

    time: float = field(default=0.0, kw_only=True)


# --- any run -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(LogEvent):
    """A run begins: the `steps` it is to take, the number of `images`, and all that run.json says."""

    name: ClassVar[str] = "start"
    steps: int
    images: int
    data: Mapping[str, Any]
    validation: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None
    kernels: Mapping[str, Any]
    wire: str
    epochs: float | None = None
    changes: tuple[Any, ...] | None = None
    versions: Mapping[str, str]
    command: str | None = None
    machine: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DataFound(LogEvent):
    """What is trained on: a sentence; the `path`, none for an array; how many `sources` of each kind (folder, file, archive,
    array file, video); how many files are no images, by suffix; how many images are excluded.
    """

    name: ClassVar[str] = "data"
    message: str
    path: str | None
    sources: Mapping[str, int]
    ignored: Mapping[str, int]
    excluded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone(LogEvent):
    """An update is done: updates and `images` so far; the `loss`, its `terms` by path, their sums by objective;
    `accuracies`, shares of the images, by "path top-1"; its `seconds`, and those of them that it `waited` for images.
    """

    name: ClassVar[str] = "step"
    step: int
    images: int
    loss: float
    terms: Mapping[str, float]
    objectives: Mapping[str, float]
    accuracies: Mapping[str, float] = field(default_factory=dict)
    seconds: float
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated(LogEvent):
    """Parameters after a `step` of each replica, validated on `images`; `best`: they are kept. The rest as in `StepDone`."""

    name: ClassVar[str] = "validation"
    step: int
    images: int
    loss: float
    terms: Mapping[str, float]
    objectives: Mapping[str, float]
    accuracies: Mapping[str, float]
    seconds: float
    best: bool = False


@dataclass(frozen=True, slots=True)
class CheckpointWritten(LogEvent):
    """A checkpoint is whole: of which `step`, and in which `file` or folder."""

    name: ClassVar[str] = "checkpoint"
    step: int
    file: str


@dataclass(frozen=True, slots=True)
class Warned(LogEvent):
    """Something that a person should know; `worker`: whose process says so, if it is one's."""

    name: ClassVar[str] = "warning"
    message: str
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class SettingsChanged(LogEvent):
    """A run goes on with other `settings` from a step on: of each name the expression before and the one from now on."""

    name: ClassVar[str] = "settings"
    step: int
    settings: Mapping[str, tuple[str, str]]

    @property
    def text(self) -> str:
        said = (f"{name} = {now}, was {was}" for name, (was, now) in self.settings.items())
        return f"from step {self.step:,} on: {'; '.join(said)}"


@dataclass(frozen=True, slots=True)
class Resumed(LogEvent):
    """A run goes on from a checkpoint, and lines of later steps before this one are void; `torn`: how many updates after its
    step some shards of the checkpoint hold and others do not; in other tiles than before, those are taken again.
    """

    name: ClassVar[str] = "resume"
    step: int
    torn: int = 0


@dataclass(frozen=True, slots=True)
class RunInterrupted(LogEvent):
    """A run was stopped before its last step."""

    name: ClassVar[str] = "interrupted"
    step: int


@dataclass(frozen=True, slots=True)
class RunPruned(RunInterrupted):
    """A run of a sweep was ended, because others were better after as many steps; `message`: how it stood."""

    name: ClassVar[str] = "pruned"
    message: str


@dataclass(frozen=True, slots=True)
class Failed(LogEvent):
    """A run ended by an error. On a cluster also: the workers that were `lost`, a line for each; of a worker's error its
    `code`, `notes` and `kind` (the class), and which `worker`.
    """

    name: ClassVar[str] = "failed"
    step: int
    message: str
    lost: tuple[str, ...] | None = None
    code: str | None = None
    notes: tuple[str, ...] | None = None
    kind: str | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Completed(LogEvent):
    """A run has taken its last step, which is in a checkpoint."""

    name: ClassVar[str] = "done"
    step: int


# --- a run on a cluster --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClusterBegun(LogEvent):
    """A process begins to train on a cluster: the `scheduler`'s address, how many `workers` and `replicas`, the `tiles` of
    each (rows x columns), the `durability` (standby, single), the data type on the `wire`.
    """

    name: ClassVar[str] = "cluster"
    scheduler: str
    workers: int
    replicas: int
    tiles: str
    durability: str
    wire: str = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStepDone(StepDone):
    """A step of a `replica`; `step` and `images` count those of all replicas, `seconds` and `waited` (for images and other
    tiles) are the longest of any tile. Also its `slowest` tile, the `generation` of its tiles, the `bytes` that they sent
    each other, and `traffic`: bytes to and from servers in other processes since the step before.
    """

    slowest: Slowest | None = None
    replica: int
    generation: int
    bytes: int
    traffic: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsDone(LogEvent):
    """So many steps (`count`) of an old part of the log, one after the other (thin.py): `step`, `images` and `time` are
    those of the last one, `waited` is a sum; each of the `replicas`, on a cluster.
    """

    name: ClassVar[str] = "steps"
    step: int
    images: int
    count: int
    loss: Figures
    terms: Mapping[str, Figures]
    objectives: Mapping[str, Figures]
    accuracies: Mapping[str, Figures]
    seconds: Figures
    waited: float
    replicas: Mapping[int, ReplicaSteps] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReplicaRoles:
    """Who computes a replica: its `state` (waiting, starting, warming up, computing, lapsed, done), its workers by tile."""

    state: str
    workers: tuple[str | None, ...]
    generation: int


@dataclass(frozen=True, slots=True)
class ShardRoles:
    """Who holds a shard; `ready`: the standby could take over; `term`: how many primaries it has had."""

    primary: str | None
    standby: str | None
    ready: bool
    term: int


@dataclass(frozen=True, slots=True)
class RolesChanged(LogEvent):
    """Who computes each replica and in which `state` it is (waiting, starting, warming up, computing, lapsed, done), who is
    primary and standby of each shard, who takes part: whenever that changes; where there are many roles, at the beginning
    and when the log is thinned, with `RolesMoved` in between.
    """

    name: ClassVar[str] = "roles"
    replicas: tuple[ReplicaRoles, ...]
    shards: tuple[ShardRoles, ...]
    workers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplicaChange:
    """What has changed of a replica: its state and generation now, and the workers of the `tiles` that changed hands."""

    state: str
    generation: int
    tiles: Mapping[int, str | None]


@dataclass(frozen=True, slots=True)
class RolesMoved(LogEvent):
    """As `RolesChanged`, where there are many roles: the replicas and shards that have changed since the event before, and
    who `joined` and `left`. `CurrentRoles` (roles.py) follows both.
    """

    name: ClassVar[str] = "roles moved"
    replicas: Mapping[int, ReplicaChange]
    shards: Mapping[int, ShardRoles]
    joined: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StandbyPromoted(LogEvent):
    """A standby takes the place of a lost primary."""

    name: ClassVar[str] = "promoted"
    shard: int
    worker: str
    term: int


@dataclass(frozen=True, slots=True)
class PartLost:
    """Tiles that a lost worker computed: updates below `acknowledged` are safe; `steps` of tiles were for `updates` on."""

    replica: int
    tiles: tuple[int, ...]
    acknowledged: int
    steps: int = 0
    updates: int = 0


@dataclass(frozen=True, slots=True)
class WorkerLost(LogEvent):
    """What a worker played that was lost: of `replicas` which tiles, up to which update they are `acknowledged`, how many
    `steps` of tiles were computed for how many `updates` above that; primaries and standbys of which shards.
    """

    name: ClassVar[str] = "worker lost"
    worker: str
    replicas: tuple[PartLost, ...]
    primaries: tuple[int, ...]
    standbys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Repaired(LogEvent):
    """A replica takes steps again after a loss; `still`: the longest time between two of them since then, in seconds."""

    name: ClassVar[str] = "repaired"
    worker: str
    replica: int
    still: float


@dataclass(frozen=True, slots=True)
class WorkerLeft(LogEvent):
    """A worker was drained."""

    name: ClassVar[str] = "worker left"
    worker: str


@dataclass(frozen=True, slots=True)
class UpdatesLost(LogEvent):
    """Acknowledged `updates` of a shard are gone with all its servers; it goes on from a `checkpoint`, None: anew."""

    name: ClassVar[str] = "lost"
    shard: int
    checkpoint: int | None
    updates: int
    message: str


@dataclass(frozen=True, slots=True)
class RolledBack(LogEvent):
    """Synchronous: a shard is gone, so all go back to a `checkpoint`: steps `step` to `reached` are computed again."""

    name: ClassVar[str] = "rollback"
    shard: int
    checkpoint: int | None
    step: int
    reached: int
    message: str


@dataclass(frozen=True, slots=True)
class ReplicaLapsed(LogEvent):
    """No worker has room for the lost tiles of a replica. Asynchronous: it gives `batches` back, which others compute, so a
    shard that had taken them has them twice.
    """

    name: ClassVar[str] = "lapsed"
    replica: int
    batches: int
    message: str


@dataclass(frozen=True, slots=True)
class WorkerSlow(LogEvent):
    """The steps of a worker take it so many `times` the median of its `replica`, waiting apart, for the planned work of its
    tiles; `slow`: more than twice, or it was and keeps up again.
    """

    name: ClassVar[str] = "slow"
    worker: str
    replica: int
    times: float
    slow: bool
    message: str


@dataclass(frozen=True, slots=True)
class UpdateTorn(LogEvent):
    """Asynchronous: update `number` of a replica; some shards took it before a tile was lost, others as computed again."""

    name: ClassVar[str] = "torn"
    replica: int
    number: int


@dataclass(frozen=True, slots=True)
class AgesCounted(LogEvent):
    """How many updates were how old when they were applied, by age: how many others were taken between an update's fetch and
    itself. Of all shards, and of each replica, since the process began.
    """

    name: ClassVar[str] = "ages"
    ages: Mapping[int, int]
    replicas: tuple[Mapping[int, int], ...]


@dataclass(frozen=True, slots=True)
class MessagesRefused(LogEvent):
    """Messages that a `worker`, or the scheduler, did not take: of each reason the 1st, 2nd, 4th, 8th, ... is logged."""

    name: ClassVar[str] = "refused"
    reason: str
    count: int
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessEnded(LogEvent):
    """Why a worker's process ended, as its nanny or it itself says: `over its memory limit of ... bytes` (Dask's or its
    cgroup's), `signal 9 (SIGKILL)`, `exit 1`, `import error: ...`.
    """

    name: ClassVar[str] = "ended"
    cause: str
    message: str
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut(LogEvent):
    """A worker is left out: by `versions` of packages, expected and found, or a `message` with `notes` on other images."""

    name: ClassVar[str] = "left out"
    versions: Mapping[str, tuple[str | None, str]] | None = None
    message: str | None = None
    notes: tuple[str, ...] | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerDrained(LogEvent):
    """A worker has no role any more, and may be ended; with its `address`."""

    name: ClassVar[str] = "drained"
    worker: str
    address: str


@dataclass(frozen=True, slots=True)
class CompiledAhead(LogEvent):
    """A process without a tile has compiled what tiles compute: so many programs that were not there, in `seconds`."""

    name: ClassVar[str] = "compiled ahead"
    compilations: int
    seconds: float
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessReady(LogEvent):
    """A worker's process has computed its first step: `seconds` since it joined, `compilations` since it got a tile."""

    name: ClassVar[str] = "ready"
    compilations: int
    seconds: float
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessLeft(LogEvent):
    """A process of a run that is over, and how many messages it refused, by reason."""

    name: ClassVar[str] = "left"
    refused: Mapping[str, int]
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Noted(LogEvent):
    """Who joins, is lost, computes, leads a shard or is its standby; what becomes of checkpoints."""

    name: ClassVar[str] = "note"
    message: str


LOGGED: tuple[type[LogEvent], ...] = (
    *(Started, DataFound, StepDone, Validated, CheckpointWritten, Warned, Resumed, RunInterrupted),
    *(SettingsChanged, RunPruned, Failed, Completed, ClusterBegun, ClusterStepDone, StepsDone, RolesChanged),
    *(RolesMoved, StandbyPromoted, WorkerLost, Repaired, WorkerLeft, UpdatesLost, RolledBack),
    *(ReplicaLapsed, UpdateTorn, AgesCounted, MessagesRefused, ProcessEnded, LeftOut, WorkerDrained),
    *(WorkerSlow, CompiledAhead, ProcessReady, ProcessLeft, Noted),
)
"""All that a log may hold. Two have one name: a step on a cluster is one that has a replica."""
