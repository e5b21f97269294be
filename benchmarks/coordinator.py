"""What the coordinator costs, by the number of workers: python benchmarks/coordinator.py [WORKERS ...]

The project's own simulator (tests/runtime/cluster), whose coordinator is the scheduler's real plug-in: it unpacks every
heartbeat, steps its machine, publishes what changed and packs every answer. Replicas of 169 tiles (of fewer where there are
fewer workers), asynchronous, a step a second of each, and one worker to spare. First the run begins, then it goes on through
three checkpoints, is resumed from the last one, and goes on; then a worker is lost. Only the coordinator's processor time
counts; Dask, sockets and msgpack are not in it.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

import msgpack
from timing import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/runtime/cluster"))

from fake_numerics import INITIAL, ServerState
from properties import Watch
from simulator import Cluster, spec

from lnet.runtime.cluster.actors.coordinator_plugin import CoordinatorPlugin
from lnet.runtime.cluster.protocol import events
from lnet.runtime.cluster.protocol.instructions import CommitManifest, Send
from lnet.runtime.cluster.protocol.messages import DesiredStateChange, Heartbeat
from lnet.runtime.cluster.protocol.spec import Spec, Times
from lnet.runtime.cluster.protocol.wire import pack, unpack

SIZES = (10, 40, 160, 845, 4225)
TILES = 169
BEGINS, GOES_ON = 25.0, 20.0
"""Virtual seconds until a run has begun everywhere, and of each part that is measured."""


@dataclass
class Meter:
    """Processor seconds and counts by what they were for; the longest event; bytes of the largest message of each kind."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    count: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    longest: float = 0.0
    most: Counter[str] = field(default_factory=Counter)

    def take(self, what: str, seconds: float, orders: int) -> None:
        kind = "leases" if orders >= TILES // 2 else what
        self.seconds[kind] += seconds
        self.count[kind] += 1
        self.orders += orders if kind == "leases" else 0
        self.longest = max(self.longest, seconds)

    def weigh(self, what: str, data: Any) -> None:
        self.most[what] = max(self.most[what], len(msgpack.packb(data)))

    def each(self, what: str) -> float:
        """Return the microseconds of an event; of leases, those of an order."""
        count = self.orders if what == "leases" else self.count[what]
        return 1e6 * self.seconds[what] / count if count else float("nan")

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


class Unwatched(Watch):
    """Looks at no property: they hold in the tests."""

    def decided(self, before: Any, after: Any) -> None: ...
    def replied(self, process: Any, message: Any) -> None: ...
    def applied(self, process: Any, apply: Any, state: Any) -> None: ...
    def computing(self, compute: Any) -> None: ...
    def saved(self, manifest: Any) -> None: ...
    def resumed(self, manifest: Any) -> None: ...


class Measured(Cluster):
    """A cluster whose coordinator is the scheduler's plug-in; workers make a step a second and have no arrays."""

    def __init__(self, workers: int, of: Spec) -> None:
        self.meter = Meter()
        super().__init__(0, of, workers, Unwatched(), capacity=-(-of.replicas * of.tiles // workers))

    def start_coordinator(self, manifest: Any) -> None:
        super().start_coordinator(manifest)
        self.plugin = Hosted(self)
        self.plugin.perform_own()

    def tell(self, process: Any, event: Any, *arguments: Any) -> None:
        if process.name != events.COORDINATOR or not process.alive:
            super().tell(process, event, *arguments)
        elif event is events.Received:
            sender, message = arguments
            data, _ = pack(message)
            what = "heartbeat" if isinstance(message, Heartbeat) and message.bare else "report"
            if message.base:
                self.meter.weigh(what, data)
            self.hosted(what, self.plugin.take, sender, data)
        else:
            self.hosted(event.__name__, self.plugin.tell, event, *arguments)

    def hosted(self, what: str, call: Callable[..., None], *arguments: Any) -> None:
        """Let the plug-in do something, by the clock; what it sends leaves when it is done."""
        began = process_time()
        call(*arguments)
        seconds, sent = process_time() - began, self.plugin.taken()
        self.meter.take(what, seconds, len(sent))
        for to, data in sent:
            message = unpack(data)
            if isinstance(message, DesiredStateChange) and message.base and not self.plugin.news(message):
                self.meter.weigh("order", data)
            self._Send(self.processes[events.COORDINATOR], Send(to, message))

    def look_at_peers(self, process: Any) -> None: ...
    def _post(self, process: Any, to: str, size: int, pauses: list[float]) -> None: ...

    def _meet(self, key: Any) -> None:
        if len(self.meetings.get(key, {})) == self.spec.tiles:
            for member in self.meetings.pop(key).values():
                self.after(0.9 + self.random.random() * 0.1, self._computed, *member, 0.9)

    def _LoadCheckpoint(self, process: Any, load: Any) -> None:
        process.stores[load.role] = ServerState(INITIAL)
        saved = next((m for m in self.manifests if m.id == load.checkpoint), None)
        metadata = None if saved is None else self.files[saved.digests[load.role.index]][0]
        self.after(0.1, self.tell, process, events.CheckpointLoaded, load.role, metadata)

    def _Apply(self, process: Any, apply: Any) -> None:
        self.after(0.01, self.tell, process, events.Applied, apply.role, apply.position)


class Hosted(CoordinatorPlugin):
    """The scheduler's plug-in on no scheduler: its streams, its timer and its state are the simulator's."""

    def __init__(self, cluster: Measured) -> None:
        self.cluster, self.sent = cluster, []
        super().__init__(
            SimpleNamespace(
                run=cluster.spec.run, spec=cluster.spec, times=cluster.spec.times, no_worker_timeout=60.0
            ),
            "client",
        )
        self.scheduler = SimpleNamespace(
            stream_comms=self, log_event=lambda *_: None, plugins={self.name: self}, workers={}
        )
        self.loop = self
        self.refused, self.done, self.orphaned, self.timer = Counter(), False, False, None
        self.addresses, self.known, self.places, self.watched = {}, {}, {}, {}
        self.without_workers, self.ticked, self.checked = 0.0, self.now, float("inf")
        self.performers = self._performers()

    def perform_own(self) -> None:
        self.cluster.hosted("Tick", self.tell, events.Tick)

    @property
    def process(self) -> Any:
        return self.cluster.processes[events.COORDINATOR]

    @property
    def now(self) -> float:
        return float(self.process.clock(self.cluster.time))

    @property
    def state(self) -> Any:
        return self.process.state

    @state.setter
    def state(self, table: Any) -> None:
        self.process.state = table

    def get(self, address: str) -> Any:
        """Return the stream to a worker."""
        return SimpleNamespace(send=lambda data: self.sent.append((address, data["desired"])))

    def call_later(self, delay: float, call: Any) -> Any:
        handle = SimpleNamespace(alive=True, cancel=lambda: handle.__dict__.update(alive=False))
        self.cluster.after(
            delay, lambda: handle.alive and self.process.alive and self.cluster.hosted("Tick", call)
        )
        return handle

    def _commit(self, wanted: CommitManifest) -> None:
        self.cluster.manifests.append(wanted.manifest)
        self.cluster.after(0.1, self.cluster.tell, self.process, events.ManifestWritten, wanted.manifest.id)

    def taken(self) -> list[Any]:
        sent, self.sent = self.sent, []
        return sent

    def news(self, change: DesiredStateChange) -> bool:
        """Whether a change tells more than of work: of other members or servers, another roster, a checkpoint."""
        tiles = change.tiles or ()
        moved = any(tile.peers is not None or tile.servers is not None for tile in tiles)
        return moved or change.primaries is not None


def measured(workers: int) -> dict[str, float]:
    """Return what a run of so many workers costs its coordinator."""
    tiles = min(TILES, max(1, workers // 5))
    of = spec(
        tiles=tiles,
        replicas=workers // tiles,
        shards_per_tile=workers // tiles,
        batches=10**9,
        workers=workers,
        times=Times.for_workers(workers),
    )
    cluster = Measured(workers + 1, of)

    def during(seconds: float) -> Meter:
        cluster.meter = Meter()
        gc.collect()
        gc.freeze()  # what the simulator holds is not for the coordinator to walk over
        cluster.run(cluster.time + seconds)
        return cluster.meter

    begins = during(BEGINS)
    for third in (0.1, 0.4, 0.7):
        cluster.after(
            third * GOES_ON, lambda: cluster.tell(cluster.plugin.process, events.CheckpointRequested)
        )
    through = during(GOES_ON)
    assert len(cluster.manifests) == 3, "three checkpoints were asked for"
    cluster.crash_all()
    during(BEGINS)
    again = during(GOES_ON)
    victim = cluster.processes[cluster.table.shards[0].primary]
    cluster.crash(victim, noticed=True)
    lost = during(GOES_ON)
    assert all(slot.staffed for slot in cluster.table.slots)
    assert all(shard.ready for shard in cluster.table.shards)
    return {
        "to begin, s": begins.total,
        "heartbeat, us": again.each("heartbeat"),
        "report, us": again.each("report"),
        "order, us": again.each("leases"),
        "report, bytes": max(through.most["report"], again.most["report"]),
        "order, bytes": max(through.most["order"], again.most["order"]),
        "steady, s/s": again.total / GOES_ON,
        "checkpoints, s/s": through.total / GOES_ON,
        "a loss, ms": 1e3 * max(lost.seconds["WorkerLost"], lost.longest),
    }


GOALS = {
    "heartbeat, us": 25,
    "report, us": 80,
    "order, us": 20,
    "report, bytes": 300,
    "order, bytes": 400,
    "a loss, ms": 50,
}


def main() -> None:
    print(machine())
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    columns = {workers: measured(workers) for workers in sizes}
    print(f"{'workers':18}" + "".join(f"{workers:>10,}" for workers in sizes) + "      goal")
    for what in columns[sizes[0]]:
        found = "".join(f"{columns[workers][what]:10.4g}" for workers in sizes)
        print(f"{what:18}{found}{GOALS.get(what, ''):>10}")
    if {845, 4225} <= set(sizes):
        few, many = columns[845], columns[4225]
        for what, goal in (("steady, s/s", 5.5), ("a loss, ms", 5.5)):
            print(
                f"growth from 845 to 4,225 workers of {what}: {many[what] / few[what]:.2f} times ({goal} at most)"
            )


if __name__ == "__main__":
    main()
