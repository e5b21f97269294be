"""What an operator sees of a run on a cluster at a moment: a state that events are fed to, without clock or terminal."""

from __future__ import annotations

from collections import deque
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
    StandbyPromoted,
    UpdatesLost,
    UpdateTorn,
    WorkerLost,
    WorkerSlow,
)

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
    state: str = "waiting"
    workers: tuple[str | None, ...] = ()
    steps: int = 0
    recent: deque[Stepped] = field(default_factory=_recent)
    ages: deque[int] = field(default_factory=_recent)

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


@dataclass
class ShardView:
    primary: str | None = None
    standby: str | None = None
    ready: bool = False
    term: int = 0
    updates: int = 0


@dataclass
class ClusterView:
    """`step`: batches used, of `steps`; `lost`: acknowledged updates that no server held any more; `torn`: updates that
    shards have from different attempts; `given_back`: batches of lapsed replicas, which some shards may have twice; `slow`:
    workers that others wait for.
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
    replicas: dict[int, ReplicaView] = field(default_factory=dict)
    shards: dict[int, ShardView] = field(default_factory=dict)
    recent: deque[Stepped] = field(default_factory=_recent)
    objectives: deque[Mapping[str, float]] = field(default_factory=_recent)
    refused: dict[tuple[str, str], int] = field(default_factory=dict)
    messages: deque[tuple[float, str]] = field(default_factory=_recent)

    def take(self, event: Event, at: float) -> None:
        """Take an event in, as it is logged or published, and the time at which it came."""
        if event.text is not None:
            self.messages.append((at, event.text))
        match event:
            case ClusterBegun():
                self.workers, self.durability = event.workers, event.durability
            case RolesChanged():
                self._roles(event)
            case ClusterStepDone():
                self._stepped(event, at)
            case UpdateApplied():
                self.replicas.setdefault(event.slot, ReplicaView()).ages.append(event.age)
                self.shards.setdefault(event.shard, ShardView()).updates += 1
            case WorkerLost():
                self.failures += 1
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

    def _roles(self, event: RolesChanged) -> None:
        self.workers = len(event.workers)
        self.slow &= {name for found in event.replicas for name in found.workers if name is not None}
        for index, found in enumerate(event.replicas):
            replica = self.replicas.setdefault(index, ReplicaView())
            replica.state, replica.workers = found.state, found.workers
        for index, pair in enumerate(event.shards):
            shard = self.shards.setdefault(index, ShardView())
            shard.primary, shard.standby = pair.primary, pair.standby
            shard.ready, shard.term = pair.ready, pair.term

    def _stepped(self, event: ClusterStepDone, at: float) -> None:
        stepped = Stepped(at, event.seconds, event.waited, event.bytes)
        replica = self.replicas.setdefault(event.replica, ReplicaView())
        replica.steps += 1
        replica.recent.append(stepped)
        self.recent.append(stepped)
        self.objectives.append({**event.objectives, **event.accuracies})
        self.step, self.batch = event.step, event.images / event.step

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
