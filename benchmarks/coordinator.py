"""What the coordinator costs, by the number of workers: python benchmarks/coordinator.py [WORKERS ...]

The project's own simulator (tests/runtime/cluster) with the scheduler's real plug-in as its coordinator: it unpacks every
heartbeat, steps its machine, publishes what changed and packs every answer. Replicas of 169 tiles (fewer where there are
fewer workers), an asynchronous run, a step a second of each replica, no faults but those that are counted as such.
Processor time of the coordinator alone.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter, defaultdict
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

from lnet.runtime.cluster import clock
from lnet.runtime.cluster.actors.coordinator_plugin import CoordinatorPlugin
from lnet.runtime.cluster.launch import TIMES
from lnet.runtime.cluster.protocol import coordinator, events
from lnet.runtime.cluster.protocol.messages import DesiredState
from lnet.runtime.cluster.protocol.spec import Spec
from lnet.runtime.cluster.protocol.wire import pack, unpack

SIZES = (10, 40, 160, 845, 4225)
TILES = 169
SETTLE, SECONDS = 20.0, 10.0
"""Virtual seconds until the run has begun everywhere, and those that are measured then."""


@dataclass
class Meter:
    """Processor seconds, events and bytes by what they were for."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    count: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, seconds: float) -> None:
        self.seconds[what] += seconds
        self.count[what] += 1

    def weigh(self, what: str, data: Any) -> None:
        self.most[what] = max(self.most[what], len(msgpack.packb(data)))

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


class Quiet(Watch):
    """No property is looked at: they hold in the tests."""

    def replied(self, process: Any, message: Any) -> None: ...
    def applied(self, process: Any, apply: Any, state: Any) -> None: ...
    def computing(self, compute: Any) -> None: ...
    def saved(self, manifest: Any) -> None: ...


class Measured(Cluster):
    """A cluster whose coordinator is the scheduler's plug-in; workers make a step a second and have no arrays."""

    def __init__(self, workers: int, of: Spec) -> None:
        self.meter, self.plugin = Meter(), None
        super().__init__(0, of, workers, Quiet(), capacity=-(-of.replicas * of.tiles // workers))

    def start_coordinator(self, manifest: Any) -> None:
        super().start_coordinator(manifest)
        self.plugin = Hosted(self)

    def look_at_peers(self, process: Any) -> None: ...

    def tell(self, process: Any, event: Any, *arguments: Any) -> None:
        if process.name != events.COORDINATOR or not process.alive:
            super().tell(process, event, *arguments)
            return
        if event is events.Received:
            sender, message = arguments
            data, _ = pack(message)
            self.hosted(self._kind(message, data), self.plugin.take, sender, data)
        else:
            self.hosted(event.__name__, self.plugin.tell, event, *arguments)

    def hosted(self, what: str, call: Any, *arguments: Any) -> None:
        """Let the plug-in do something, by the clock; what it sends is sent when it is done."""
        began = process_time()
        call(*arguments)
        self.meter.add(what, process_time() - began)
        for to, data in self.plugin.taken():
            self.meter.weigh("orders", data)
            self._Send(
                self.processes[events.COORDINATOR], SimpleNamespace(to=to, message=unpack(data), before=None)
            )

    def _kind(self, message: Any, data: Any) -> str:
        what = "heartbeat" if message == getattr(self, "_last", {}).get(message.worker) else "report"
        return what

    def _meet(self, key: Any) -> None:
        meeting = self.meetings.get(key, {})
        if len(meeting) == self.spec.tiles:
            del self.meetings[key]
            for member in meeting.values():
                self.after(0.9 + self.random.random() * 0.1, self._computed, *member)

    def _post(self, process: Any, to: str, size: int, pauses: list[float]) -> None: ...

    def _LoadCheckpoint(self, process: Any, load: Any) -> None:
        process.stores[load.role] = ServerState(INITIAL)
        self.after(0.1, self.tell, process, events.CheckpointLoaded, load.role, None)

    def _Apply(self, process: Any, apply: Any) -> None:
        self.after(0.01, self.tell, process, events.Applied, apply.role, apply.position)


class Hosted(CoordinatorPlugin):
    """The scheduler's plug-in on a scheduler that is none: streams and timers are the simulator's."""

    def __init__(self, cluster: Measured) -> None:
        self.cluster, self.sent = cluster, []
        config = SimpleNamespace(
            run=cluster.spec.run,
            spec=cluster.spec,
            times=cluster.spec.times,
            no_worker_timeout=60.0,
            owner=None,
        )
        super().__init__(config, "client")
        self.scheduler = SimpleNamespace(
            stream_comms=Streams(self), log_event=lambda *_: None, plugins={self.name: self}, workers={}
        )
        self.loop = SimpleNamespace(call_later=self.call_later)
        self.refused, self.done, self.orphaned, self.timer = Counter(), False, False, None
        self.addresses, self.known, self.places, self.watched = {}, {}, {}, {}
        self.without_workers, self.ticked, self.checked = 0.0, self.now, float("inf")
        self.performers = self._performers()
        self.process = cluster.processes[events.COORDINATOR]

    @property
    def now(self) -> float:
        return self.cluster.processes[events.COORDINATOR].clock(self.cluster.time)

    @property
    def state(self) -> Any:
        return self.cluster.processes[events.COORDINATOR].state

    @state.setter
    def state(self, table: Any) -> None:
        self.cluster.processes[events.COORDINATOR].state = table

    def call_later(self, delay: float, call: Any) -> Any:
        cluster, number = self.cluster, self.cluster.count
        handle = SimpleNamespace(alive=True)
        handle.cancel = lambda: setattr(handle, "alive", False)
        cluster.after(delay, lambda: handle.alive and not self.done and cluster.hosted("tick", call))
        return handle

    def taken(self) -> list[Any]:
        sent, self.sent = self.sent, []
        return sent


class Streams:
    def __init__(self, plugin: Hosted) -> None:
        self.plugin = plugin

    def get(self, address: str) -> Any:
        return SimpleNamespace(send=lambda data: self.plugin.sent.append((address, data["desired"])))


def main() -> None:
    print(machine())
    for workers in [int(size) for size in sys.argv[1:]] or SIZES:
        tiles = min(TILES, max(1, workers // 5))
        of = spec(tiles=tiles, replicas=workers // tiles, batches=10**9, workers=workers, times=TIMES)
        cluster = Measured(workers, of)
        began = process_time()
        cluster.run(SETTLE)
        start, cluster.meter = cluster.meter, Meter()
        gc.collect()
        gc.freeze()
        cluster.run(SETTLE + SECONDS)
        meter = cluster.meter
        each = {
            what: f"{1e6 * meter.seconds[what] / count:.0f} us x {count / SECONDS:.0f}/s"
            for what, count in meter.count.items()
        }
        print(
            f"{workers:6} start {start.total:.2f} s; a second {meter.total / SECONDS:.4f} s",
            each,
            dict(meter.most),
            f"whole {process_time() - began:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
