"""What an operator sees of a run on a cluster at a moment: a state that events are fed to, without clock or terminal."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lnet.runtime.cluster.published import UpdateApplied
from lnet.runtime.store.events import (
    CheckpointWritten,
    ClusterBegun,
    ClusterStepDone,
    Event,
    MessagesRefused,
    ReplicaLapsed,
    RolesChanged,
    RolesMoved,
    ShardRoles,
    StandbyPromoted,
    UpdatesLost,
    UpdateTorn,
    Validated,
    WorkerLost,
    WorkerSlow,
)
from lnet.runtime.store.roles import CurrentReplica, CurrentRoles
from lnet.runtime.training.progress import validation

RECENT = 32
"""Steps that speeds and means are taken over, and messages that are kept."""


@dataclass(frozen=True)
class Stepped:
    """A step: when it was done, its seconds, those of them that it waited, and the bytes that its tiles sent."""

    at: float
    seconds: float
    waited: float
    bytes: int


@dataclass(frozen=True)
class Written:
    """A checkpoint: when it was written, and the steps of one replica that are in it."""

    at: float
    step: int


def _recent() -> deque[Any]:
    return deque(maxlen=RECENT)


def rate(steps: deque[Stepped], now: float) -> float:
    """Return steps per second; it falls while no step comes."""
    if len(steps) < 2:
        return 0.0
    return (len(steps) - 1) / max(steps[-1].at - steps[0].at, now - steps[0].at - _pace(steps), 1e-9)


def _pace(steps: deque[Stepped]) -> float:
    """The time in which the next step is due."""
    return (steps[-1].at - steps[0].at) / (len(steps) - 1)


@dataclass
class ReplicaView:
    """What a replica does; `slowest`: the tiles that the others waited for in recent steps."""

    steps: int = 0
    recent: deque[Stepped] = field(default_factory=_recent)
    ages: deque[int] = field(default_factory=_recent)
    slowest: deque[int] = field(default_factory=_recent)

    def bytes_per_second(self, now: float) -> float:
        mean = sum(step.bytes for step in self.recent) / max(len(self.recent), 1)
        return mean * rate(self.recent, now)

    @property
    def waited(self) -> float:
        """The share of its steps' time that it waited for images and other tiles."""
        seconds = sum(step.seconds for step in self.recent)
        return sum(step.waited for step in self.recent) / seconds if seconds else 0.0

    @property
    def mean_age(self) -> float:
        return sum(self.ages) / max(len(self.ages), 1)

    @property
    def slowest_tile(self) -> SlowTile | None:
        """The tile that the others waited for most often."""
        if not self.slowest:
            return None
        ((tile, steps),) = Counter(self.slowest).most_common(1)
        return SlowTile(tile, steps, len(self.slowest))


@dataclass(frozen=True)
class SlowTile:
    """A `tile` that the others of its replica waited for in `steps` of the last `among`."""

    tile: int
    steps: int
    among: int


@dataclass(frozen=True, kw_only=True)
class ReplicaRow:
    """A replica now; rates are a second's, `staleness` is the mean age of its recent updates and `largest` the largest."""

    index: int
    state: str
    workers: tuple[str | None, ...]
    steps: int
    step_rate: float
    staleness: float | None
    largest: int | None
    byte_rate: float
    waited: float
    slowest: SlowTile | None

    @property
    def vacant(self) -> list[int]:
        """The tiles that nobody computes."""
        return [tile for tile, worker in enumerate(self.workers) if worker is None]


@dataclass(frozen=True)
class ShardRow:
    """A shard now, and the updates that its primaries have applied."""

    index: int
    roles: ShardRoles
    updates: int

    @property
    def standby(self) -> str:
        """Whether its standby could take over: none, being filled, ready."""
        if self.roles.standby is None:
            return "none"
        return "ready" if self.roles.ready else "being filled"

    @property
    def whole(self) -> bool:
        return self.roles.primary is not None and self.roles.ready


@dataclass
class ClusterView:
    """`step`: batches used, of `steps`; `lost`: acknowledged updates that no server held any more; `torn`: updates that
    shards have from different attempts; `given_back`: batches of lapsed replicas, which some shards may have twice;
    `updates`: of each shard; `absent`: when the workers were lost that have not come back; `slow`:
    workers with tiles that others wait for.
    """

    step: int = 0
    steps: int = 0
    workers: int = 0
    durability: str = ""
    batch: float = 0.0
    failures: int = 0
    promotions: int = 0
    lost: int = 0
    torn: int = 0
    given_back: int = 0
    slow: set[str] = field(default_factory=set)
    checkpoints: int = 0
    checkpoint: Written | None = None
    roles: CurrentRoles = field(default_factory=CurrentRoles)
    replicas: dict[int, ReplicaView] = field(default_factory=lambda: defaultdict(ReplicaView))
    updates: Counter[int] = field(default_factory=Counter)
    absent: dict[str, float] = field(default_factory=dict)
    recent: deque[Stepped] = field(default_factory=_recent)
    objectives: deque[Mapping[str, float]] = field(default_factory=_recent)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)
    messages: deque[tuple[float, str]] = field(default_factory=_recent)

    def take(self, event: Event, at: float) -> None:
        """Take an event in, as it is logged or published, and the time at which it came."""
        text = validation(event) if isinstance(event, Validated) else event.text
        if text is not None:
            self.messages.append((at, text))
        match event:
            case ClusterBegun():
                self.workers, self.durability = event.workers, event.durability
            case RolesChanged() | RolesMoved():
                self.roles.take(event)
                self.workers = self.roles.present
                if self.slow:
                    self.slow &= self.roles.with_tiles
            case ClusterStepDone():
                self._stepped(event, at)
            case UpdateApplied():
                self.replicas[event.slot].ages.append(event.age)
                self.updates[event.shard] += 1
            case WorkerLost():
                self.failures += 1
                self.absent[event.worker] = at
            case StandbyPromoted():
                self.promotions += 1
            case CheckpointWritten():
                self.checkpoints, self.checkpoint = self.checkpoints + 1, Written(at, event.step)
            case UpdatesLost():
                self.lost += event.updates
            case UpdateTorn():
                self.torn += 1
            case ReplicaLapsed():
                self.given_back += event.batches
            case WorkerSlow():
                self.slow = self.slow - {event.worker} | ({event.worker} if event.slow else set())
            case MessagesRefused():
                self.refused[event.worker or "scheduler", event.reason] = event.count

    def _stepped(self, event: ClusterStepDone, at: float) -> None:
        stepped = Stepped(at, event.seconds, event.waited, event.bytes)
        replica = self.replicas[event.replica]
        replica.steps += 1
        if event.slowest is not None:
            replica.slowest.append(event.slowest.tile)
        replica.recent.append(stepped)
        self.recent.append(stepped)
        self.objectives.append({**event.objectives, **event.accuracies})
        self.step, self.batch = event.step, event.images / event.step

    # --- who does what ---------------------------------------------------------------------------------------------

    def replica_rows(self, now: float) -> list[ReplicaRow]:
        """Return what each replica is and does."""
        indexes = sorted(self.replicas.keys() | self.roles.replicas.keys())
        return [self._row(index, self.replicas.get(index, ReplicaView()), now) for index in indexes]

    def _row(self, index: int, replica: ReplicaView, now: float) -> ReplicaRow:
        roles = self.roles.replicas.get(index, CurrentReplica())
        return ReplicaRow(
            index=index,
            state=roles.state,
            workers=tuple(roles.workers),
            steps=replica.steps,
            step_rate=rate(replica.recent, now),
            staleness=replica.mean_age if replica.ages else None,
            largest=max(replica.ages, default=None),
            byte_rate=replica.bytes_per_second(now),
            waited=replica.waited,
            slowest=replica.slowest_tile,
        )

    def shard_rows(self) -> list[ShardRow]:
        """Return who holds each shard."""
        indexes = sorted(self.updates.keys() | self.roles.shards.keys())
        nobody = ShardRoles(None, None, False, 0)
        return [
            ShardRow(index, self.roles.shards.get(index, nobody), self.updates[index]) for index in indexes
        ]

    @property
    def not_back(self) -> list[str]:
        """The workers that were lost and do not take part now, the last one first."""
        gone = [worker for worker in self.absent if not self.roles.workers[worker]]
        return sorted(gone, key=lambda worker: (-self.absent[worker], worker))

    # --- over all replicas -----------------------------------------------------------------------------------------

    def images_per_second(self, now: float) -> float:
        return self.batch * rate(self.recent, now)

    def seconds_left(self, now: float) -> float | None:
        """Return the time that the rest takes at this pace, None while there is no pace."""
        pace = rate(self.recent, now)
        return (self.steps - self.step) / pace if pace else None

    @property
    def losses(self) -> dict[str, float]:
        """The means of the objectives over the newest steps."""
        names = dict.fromkeys(name for objectives in self.objectives for name in objectives)
        found = {name: [o[name] for o in self.objectives if name in o] for name in names}
        return {name: sum(values) / len(values) for name, values in found.items()}
