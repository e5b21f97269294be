"""The coordinator and all workers of a run in virtual time: events in, instructions out, and what each costs.

    heap of (time, call) --> event --> step(state, event) --> instructions --> calls later, by the costs of plan and links

Every clock shows the same time, no message is lost, and the coordinator takes no time. A worker has one processor: what
its servers compute goes first, and makes its tiles' step longer by as much. The large messages of servers do not slow down
those between tiles. A step begins when all tiles of a generation are there for it.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lnet.compiler.cut.cluster_spec import Rates
from lnet.compiler.cut.cluster_spec import Worker as Place
from lnet.compiler.plan.plan import Plan
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol import coordinator, worker
from lnet.runtime.cluster.protocol import events as on
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.deaths import Cause
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.messages import (
    AppendEntries,
    InstallSnapshot,
    Message,
    PullReply,
    Push,
    ShardMetadata,
    WorkerMemory,
)
from lnet.runtime.cluster.protocol.primary import Primary
from lnet.runtime.cluster.protocol.spec import Spec, Times

from .costs import Costs, StepCost
from .links import Links
from .record import Record

ENDLESS = 10**9
"""Batches of each replica."""
SOON = 1e-9
"""Seconds after which a timer ticks: times are rounded."""
StepKey = tuple[int, int, object, int]


@dataclass(eq=False)
class Process:
    """A worker's process; `free`: when its processor has done what its servers have asked for, `served`: seconds of that."""

    name: str
    place: Place
    state: worker.Worker
    timer: int = 0
    free: float = 0.0
    served: float = 0.0
    steps: dict[RoleId, StepKey] = field(default_factory=dict)


@dataclass(eq=False)
class Step:
    """A replica's step: who is there, since when; `cost` None: not all are, so it has not begun.

    `served`: what each process had done for its servers when it began; `late`: how much longer it takes for that so far.
    """

    members: dict[int, tuple[Process, do.Compute, float]] = field(default_factory=dict)
    cost: StepCost | None = None
    served: dict[int, float] = field(default_factory=dict)
    late: float = 0.0

    def served_since(self, tile: int) -> float:
        """Return the seconds that a tile's process has worked for its servers since the step began."""
        return self.members[tile][0].served - self.served[tile]


def spec_of(plan: Plan, times: Times | None = None) -> Spec:
    """Return what the protocol is asked to do in a run of a plan that never ends, as a cluster's command would.

    Nothing is validated: on how many images is known when it begins. `times`: others than those of so many workers.
    """
    workers, tiles = plan.placement.cluster.workers, len(plan.placement.tiles) * plan.partition.count
    config = RunConfig(
        "simulated",
        plan.to_json(),
        "",
        "",
        None,
        workers=len(workers),
        capacity=tiles,
        durability="standby" if len({each.host for each in workers}) > 1 else "single",
        times=times or Times.for_workers(len(workers)),
    )
    batches = ENDLESS * config.spec.replicas
    return replace(config.spec, batches=batches, needs=config.needs, work=config.work)


class Machines:
    """A run under way; `record` is what was seen. Raises `LnetError` for a layer whose rate is unknown."""

    def __init__(self, plan: Plan, rates: Rates, seed: int = 0, times: Times | None = None) -> None:
        self.plan, self.costs, self.spec = plan, Costs(plan, rates), spec_of(plan, times)
        self.places = {place.name: (number, place) for number, place in enumerate(self.costs.cluster.workers)}
        self.links, self.random = Links(self.costs.cluster), random.Random(seed)
        self.time, self.count = 0.0, 0
        self.heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self.processes: dict[str, Process] = {}
        self.joined = 0
        self.steps: dict[StepKey, Step] = {}
        self.saved: dict[tuple[int, int], ShardMetadata] = {}
        self.record = Record()
        self.performers = self._performers()
        self.timer = 0
        self.table, instructions = coordinator.begin(self.spec, self.time)
        self._perform_coordinator(instructions)
        for place in self.costs.cluster.workers:
            self.after(self.random.random() * self.spec.times.heartbeat_interval, self.join, place)

    # --- time ------------------------------------------------------------------------------------------------------

    def after(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
        """Call something after so many seconds of virtual time."""
        self.count += 1
        heapq.heappush(self.heap, (self.time + seconds, self.count, call, arguments))

    def run(self, until: float) -> None:
        """Go on until a time, or the end of the run."""
        while self.heap[0][0] <= until and not self.record.given_up:
            self.time, _, call, arguments = heapq.heappop(self.heap)
            call(*arguments)
        self.time = max(self.time, until)

    # --- processes ---------------------------------------------------------------------------------------------------

    def join(self, place: Place) -> None:
        """Begin a process at a worker's place."""
        self.joined += 1
        name, memory = f"{place.name}#{self.joined}", None
        if place.memory is not None:
            memory = WorkerMemory(place.name, place.memory, 0, place.memory)
        state, instructions = worker.begin(
            self.spec,
            name,
            place.host,
            self.time,
            place.name,
            capacity=self.spec.replicas * self.spec.tiles,
            memory=memory,
        )
        self.processes[name] = Process(name, place, state)
        self._perform(self.processes[name], instructions)

    def end(self, process: Process, confirmed: bool) -> None:
        """End a process; `confirmed`: its connection closes and its nanny says so, else nobody does."""
        del self.processes[process.name]
        for role in list(process.steps):
            self._leave(process, role)
        if confirmed:
            self.after(self.latency, self.tell_coordinator, on.WorkerLost, process.name)
            address = process.name.partition("#")[0]
            self.after(
                self.latency,
                self.tell_coordinator,
                on.WorkerExited,
                address,
                process.place.name,
                Cause("signal", 9),
                True,
            )

    @property
    def latency(self) -> float:
        """Seconds of a message to the coordinator, or from it."""
        return self.costs.cluster.between.latency

    def tell(self, name: str, event: Callable[..., on.WorkerEvent], *arguments: object) -> None:
        process = self.processes.get(name)
        if process is not None:
            process.state, instructions = worker.step(process.state, event(self.time, *arguments))
            self._perform(process, instructions)

    def tell_coordinator(self, event: Callable[..., on.CoordinatorEvent], *arguments: object) -> None:
        before = self.table
        self.table, instructions = coordinator.step(self.table, event(self.time, *arguments))
        self.record.look(self.time, before, self.table)
        self._perform_coordinator(instructions)

    def _tick(self, process: Process, number: int) -> None:
        if number == process.timer:
            self.tell(process.name, on.Tick)

    def _tick_coordinator(self, number: int) -> None:
        if number == self.timer:
            self.tell_coordinator(on.Tick)

    # --- instructions ----------------------------------------------------------------------------------------------

    def _perform_coordinator(self, instructions: tuple[do.Instruction, ...]) -> None:
        for instruction in instructions:
            match instruction:
                case do.Send(to, message):
                    self.after(self.latency, self.tell, to, on.Received, on.COORDINATOR, message)
                case do.SetTimer(at):
                    self.timer += 1
                    self.after(max(0.0, at - self.time) + SOON, self._tick_coordinator, self.timer)
                case do.CommitManifest(manifest):
                    self.saved = {
                        key: found for key, found in self.saved.items() if key[0] >= manifest.id - 1
                    }
                    self.after(self.latency, self.tell_coordinator, on.ManifestWritten, manifest.id)
                case _:
                    self.record.take(instruction)

    def _perform(self, process: Process, instructions: tuple[do.Instruction, ...]) -> None:
        for instruction in instructions:
            self.performers[type(instruction)](process, instruction)

    def _performers(self) -> dict[type, Callable[..., None]]:
        return {
            do.Send: self._send,
            do.SetTimer: self._set_timer,
            do.Compute: self._compute,
            do.Cancel: self._cancel,
            do.Drop: self._cancel,
            do.Apply: self._apply,
            do.Measure: self._measure,
            do.ReadParams: self._read_params,
            do.TakeSnapshot: self._take_snapshot,
            do.LoadCheckpoint: self._load_checkpoint,
            do.SaveShard: self._save_shard,
            do.LoadParams: self._nothing,
            do.LoadSnapshot: self._nothing,
            do.Refused: self._nothing,
            do.Duplicate: self._nothing,
            do.Stopped: self._nothing,
        }

    def _nothing(self, process: Process, instruction: do.Instruction) -> None: ...

    def _send(self, process: Process, send: do.Send) -> None:
        if send.late(self.time):
            return
        if send.to == on.COORDINATOR:
            self.after(self.latency, self.tell_coordinator, on.Received, process.name, send.message)
            return
        to = self.places[send.to.partition("#")[0]][1]
        size = self._size(send.message)
        if size and to != process.place:
            self.record.message(send.to, send.message, size)
        arrives = self.links.arrival(self.time, process.place, to, size)
        self.after(arrives - self.time, self.tell, send.to, on.Received, process.name, send.message)

    def _size(self, message: Message) -> int:
        """Return the bytes of a message's arrays."""
        match message:
            case Push() | PullReply():
                return self.costs.size(message.fence.shard)
            case AppendEntries(fence, entries):
                return self.costs.size(fence.shard) * sum(entry.pushed is not None for entry in entries)
            case InstallSnapshot(fence):
                return self.costs.state_size(fence.shard)
        return 0

    def _set_timer(self, process: Process, timer: do.SetTimer) -> None:
        process.timer += 1
        self.after(max(0.0, timer.at - self.time) + SOON, self._tick, process, process.timer)

    # --- servers: one thing after the other ------------------------------------------------------------------------

    def _serve(
        self, process: Process, seconds: float, event: Callable[..., on.WorkerEvent], *arguments: object
    ) -> None:
        process.free = max(self.time, process.free) + seconds
        process.served += seconds
        self.after(process.free - self.time, self.tell, process.name, event, *arguments)

    def _apply(self, process: Process, apply: do.Apply) -> None:
        if isinstance(process.state.servers.get(apply.role.index), Primary):
            self.record.applied(apply)
        self._serve(process, self.costs.update(apply.role.index), on.Applied, apply.role, apply.position)

    def _measure(self, process: Process, measure: do.Measure) -> None:
        norms = (1.0,) * self.spec.norms
        seconds = self.costs.update(measure.role.index)
        self._serve(process, seconds, on.Measured, measure.role, measure.step, norms)

    def _read_params(self, process: Process, read: do.ReadParams) -> None:
        self._serve(process, 0.0, on.ParamsRead, read.role, read.ticket, None)

    def _take_snapshot(self, process: Process, take: do.TakeSnapshot) -> None:
        self._serve(process, 0.0, on.SnapshotTaken, take.role, take.incarnation, None)

    def _load_checkpoint(self, process: Process, load: do.LoadCheckpoint) -> None:
        metadata = None if load.checkpoint is None else self.saved.get((load.checkpoint, load.role.index))
        seconds = 0.0 if load.checkpoint is None else self._on_disk(load.role)
        self.after(seconds, self.tell, process.name, on.CheckpointLoaded, load.role, metadata)

    def _save_shard(self, process: Process, save: do.SaveShard) -> None:
        self.saved[save.id, save.role.index] = save.metadata
        digest = f"{save.id}/{save.role.index}"
        self.after(
            self._on_disk(save.role), self.tell, process.name, on.ShardSaved, save.role, save.id, digest
        )

    def _on_disk(self, role: RoleId) -> float:
        """Return the seconds in which a shard is written or read: as fast as a link, and beside everything else."""
        return self.costs.cluster.between.seconds(self.costs.state_size(role.index))

    # --- tiles: a step begins when all are there --------------------------------------------------------------------

    def _compute(self, process: Process, compute: do.Compute) -> None:
        key = (compute.role.slot, compute.generation, compute.update, compute.index)
        step = self.steps.setdefault(key, Step())
        step.members[compute.role.index] = (process, compute, self.time)
        process.steps[compute.role] = key
        self.record.fetched(compute.role, process.name, self.time)
        if len(step.members) == self.spec.tiles:
            self._begin(key, step)

    def _begin(self, key: StepKey, step: Step) -> None:
        homes = {
            slot: tuple(self._home(name) for name in tiles.tiles if name is not None)
            for slot, tiles in enumerate(self.table.slots)
            if tiles.staffed
        }
        homes[key[0]] = tuple(self._home(process.name) for _, (process, *_) in sorted(step.members.items()))
        step.cost = self.costs.step(key[0], homes)
        step.served = {
            tile: process.served - max(0.0, process.free - self.time)
            for tile, (process, *_) in step.members.items()
        }
        step.late = max(0.0, *(process.free - self.time for process, *_ in step.members.values()))
        own = max(self._own_update(compute) for _, compute, _ in step.members.values())
        self.after(step.late + step.cost.seconds + own, self._computed, key, step)

    def _home(self, name: str) -> int:
        return self.places[name.partition("#")[0]][0]

    def _own_update(self, compute: do.Compute) -> float:
        """Return the seconds of the step that a tile's own copy takes between two fetches."""
        shards = self.spec.shards_of(compute.role.index) if compute.onward else ()
        return sum(map(self.costs.update, shards))

    def _computed(self, key: StepKey, step: Step) -> None:
        """End a step, unless a tile has left it, or servers have taken time from it meanwhile."""
        if self.steps.get(key) is not step:
            return
        late = max(map(step.served_since, step.members))
        if late > step.late + SOON:
            self.after(late - step.late, self._computed, key, step)
            step.late = late
            return
        del self.steps[key]
        assert step.cost is not None
        for tile, (process, compute, since) in sorted(step.members.items()):
            del process.steps[compute.role]
            served = step.served_since(tile)
            gradients = (None,) * self.spec.shards_per_tile if compute.last else ()
            busy = step.cost.busy[tile]
            self.record.computed(compute.role, process.name, since, self.time, busy, served)
            self.tell(process.name, on.Computed, compute.role, compute.update, compute.index, gradients, busy)

    def _cancel(self, process: Process, instruction: do.Cancel | do.Drop) -> None:
        if instruction.role in process.steps:
            self._leave(process, instruction.role)

    def _leave(self, process: Process, role: RoleId) -> None:
        """Take a tile out of its step; one that had begun is never finished."""
        key = process.steps.pop(role)
        step = self.steps.get(key)
        if step is None:
            return
        del step.members[role.index]
        if step.cost is not None:
            del self.steps[key]
