"""What a run's processes say of themselves in figures; prometheus.py puts them on Dask's own `/metrics`.

worker       what it counts of its own events and messages (`Tally`), and the roles that it has
scheduler    what it sees of the whole run (overview.py)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lnet.runtime.cluster.protocol.primary import Primary
from lnet.runtime.cluster.protocol.worker import Worker
from lnet.runtime.cluster.published import TileComputed, UpdateApplied
from lnet.runtime.store.events import Event

from .overview import Overview


@dataclass(frozen=True, slots=True)
class Metric:
    """`labels`: those besides the run, the network and the process."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """A metric's value now; a histogram's: how often each number was seen."""

    metric: Metric
    value: float | Mapping[int, int]
    labels: tuple[str, ...] = ()


TILE_STEPS = Metric(
    "lnet_tile_steps", "counter", "Steps that a tile computed, repeated ones too.", ("replica", "tile")
)
TILE_SECONDS = Metric(
    "lnet_tile_seconds", "counter", "Seconds that these steps took, waiting included.", ("replica", "tile")
)
TILE_WAITED = Metric(
    "lnet_tile_waited_seconds",
    "counter",
    "Of these, seconds of waiting for images and other tiles.",
    ("replica", "tile"),
)
UPDATES = Metric("lnet_updates", "counter", "Updates that a primary applied.", ("shard",))
AGE = Metric(
    "lnet_update_age",
    "histogram",
    "How many updates were taken between an update's fetch and itself, at primaries.",
)
SENT = Metric("lnet_sent_bytes", "counter", "Bytes of arrays sent to other processes.", ("what",))
RECEIVED = Metric(
    "lnet_received_bytes", "counter", "Bytes of arrays that came from other processes.", ("what",)
)
REFUSED = Metric("lnet_refused_messages", "counter", "Messages that were not taken.", ("reason",))
ROLES = Metric("lnet_roles", "gauge", "Roles that a worker has.", ("role",))

STEPS = Metric("lnet_steps", "counter", "Steps of all replicas together, repeated ones once.")
PLANNED = Metric("lnet_planned_steps", "gauge", "Steps of all replicas together at the end of the run.")
IMAGES = Metric("lnet_images", "counter", "Images in these steps.")
WORKERS = Metric("lnet_workers", "gauge", "Workers that take part.")
LOST_WORKERS = Metric("lnet_lost_workers", "counter", "Workers lost.")
PROMOTIONS = Metric("lnet_promotions", "counter", "Standbys that took the place of a lost primary.")
LOST_UPDATES = Metric("lnet_lost_updates", "counter", "Acknowledged updates that no server held any more.")
CHECKPOINTS = Metric("lnet_checkpoints", "counter", "Checkpoints written since the run began or went on.")
CHECKPOINT_STEP = Metric("lnet_checkpoint_step", "gauge", "The step of the newest of them.")

METRICS = (
    *(TILE_STEPS, TILE_SECONDS, TILE_WAITED, UPDATES, AGE, SENT, RECEIVED, REFUSED, ROLES),
    *(STEPS, PLANNED, IMAGES, WORKERS, LOST_WORKERS, PROMOTIONS, LOST_UPDATES, CHECKPOINTS, CHECKPOINT_STEP),
)


@dataclass
class Tally:
    """What a worker has counted; tiles by replica and number, bytes by what they were."""

    steps: Counter[tuple[int, int]] = field(default_factory=Counter)
    seconds: dict[tuple[int, int], float] = field(default_factory=dict)
    waited: dict[tuple[int, int], float] = field(default_factory=dict)
    updates: Counter[int] = field(default_factory=Counter)
    ages: Counter[int] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def take(self, event: Event) -> None:
        """Take an event that the worker publishes."""
        match event:
            case TileComputed():
                tile = (event.replica, event.tile)
                self.steps[tile] += 1
                self.seconds[tile] = self.seconds.get(tile, 0.0) + event.seconds
                self.waited[tile] = self.waited.get(tile, 0.0) + event.waited
            case UpdateApplied():
                self.updates[event.shard] += 1
                self.ages[event.age] += 1


def worker_samples(tally: Tally, state: Worker) -> Iterator[Sample]:
    for metric, by_tile in (
        (TILE_STEPS, tally.steps),
        (TILE_SECONDS, tally.seconds),
        (TILE_WAITED, tally.waited),
    ):
        for (replica, tile), value in by_tile.items():
            yield Sample(metric, value, (str(replica), str(tile)))
    for shard, count in tally.updates.items():
        yield Sample(UPDATES, count, (str(shard),))
    yield Sample(AGE, dict(tally.ages))
    for metric, by_kind in ((SENT, tally.sent), (RECEIVED, tally.received)):
        for what, count in by_kind.items():
            yield Sample(metric, count, (what,))
    yield from _refused(tally.refused)
    primaries = sum(isinstance(server, Primary) for server in state.servers.values())
    yield Sample(ROLES, len(state.tiles), ("tile",))
    yield Sample(ROLES, primaries, ("primary",))
    yield Sample(ROLES, len(state.servers) - primaries, ("standby",))


def scheduler_samples(overview: Overview, refused: Mapping[str, int]) -> Iterator[Sample]:
    view = overview.view
    yield Sample(STEPS, overview.steps.done)
    yield Sample(PLANNED, view.steps)
    yield Sample(IMAGES, overview.steps.done * overview.batch)
    yield Sample(WORKERS, view.workers)
    yield Sample(LOST_WORKERS, view.failures)
    yield Sample(PROMOTIONS, view.promotions)
    yield Sample(LOST_UPDATES, view.lost)
    yield Sample(CHECKPOINTS, view.checkpoints)
    if view.checkpoint is not None:
        yield Sample(CHECKPOINT_STEP, view.checkpoint.step)
    yield from _refused(refused)


def _refused(reasons: Mapping[str, int]) -> Iterator[Sample]:
    """Yield counts by reason, without what a malformed message held: anybody could make up as many series."""
    counts: Counter[str] = Counter()
    for reason, count in reasons.items():
        counts[reason.partition(":")[0]] += count
    return (Sample(REFUSED, count, (reason,)) for reason, count in counts.items())
