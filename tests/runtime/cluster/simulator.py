"""A cluster in virtual time: the real machines, a network that misbehaves by a seed, numerics that show what was done.

Everything happens in the order of one heap; the only source of chance is one generator. True time is the heap's; each
process reads a clock of its own that runs faster or slower within the bound that leases allow for.
"""

import heapq
import random
from dataclasses import dataclass, field, replace

from fake_numerics import ServerState, gradient, squares

from lnet.runtime.cluster.protocol import coordinator, worker
from lnet.runtime.cluster.protocol import events as on
from lnet.runtime.cluster.protocol.deaths import Cause
from lnet.runtime.cluster.protocol.messages import AppendEntries, InstallSnapshot, PullReply, Push, PushAck
from lnet.runtime.cluster.protocol.spec import Rules, Spec, Times
from lnet.runtime.cluster.protocol.validations import ValidatedPart, WrittenParams
from lnet.runtime.cluster.transport.reach import LIGHT, PROBE, Reach

TIMES = Times(
    heartbeat_interval=0.4,
    failure_timeout=1.6,
    lease=1.2,
    retry=0.4,
    grace_period=1.0,
    link_timeout=2.5,
    suspicion=4.0,
    drift=0.05,
)
HEAVY = 10 * LIGHT
"""Bytes of what has arrays in it."""


@dataclass
class Network:
    """What happens to messages, in probabilities and seconds; `cut`: one-way connections that swallow all.

    `narrow`: those that swallow what is heavy; `closed`: those that refuse all at once.
    """

    loss: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    cut: set = field(default_factory=set)
    narrow: set = field(default_factory=set)
    closed: set = field(default_factory=set)

    def passes(self, sender, receiver, size):
        """Whether something arrives; its acknowledgement, which is light, goes the other way."""
        way = (sender, receiver)
        return way not in self.cut | self.closed and not (size > LIGHT and way in self.narrow)

    @property
    def disturbed(self):
        return bool(self.cut or self.narrow or self.closed)

    def answers(self, sender, receiver, size):
        return self.passes(sender, receiver, size) and self.passes(receiver, sender, 0)


@dataclass(eq=False)
class Process:
    """One incarnation of a worker, or the coordinator. `machine`: the module whose `step` it runs."""

    name: str
    host: str
    machine: object
    state: object
    rate: float
    offset: float
    alive: bool = True
    wakes: float = 0.0
    freeze: float = 0.0
    asleep: bool = False
    timer: int = 0
    reach: Reach = None
    stores: dict = field(default_factory=dict)
    busy: dict = field(default_factory=dict)
    slowness: float = 1.0

    def clock(self, time):
        return self.offset + time * self.rate

    def true(self, clock):
        return (clock - self.offset) / self.rate


class Cluster:
    """A run under way; `watch` is told of everything that a property needs (properties.py)."""

    def __init__(
        self,
        seed,
        spec,
        workers,
        watch,
        rules=None,
        network=None,
        manifest=None,
        capacity=2,
        counts_sleep=True,
        memory=None,
        work=None,
        counts_waiting=False,
    ):
        self.memory, self.counts_waiting = memory, counts_waiting
        self.work = work or (1,) * spec.tiles
        self.capacity, self.counts_sleep = capacity, counts_sleep
        self.random = random.Random(seed)
        self.spec, self.rules, self.watch = spec, rules or Rules(), watch
        self.network = network or Network()
        self.time, self.count, self.heap, self.trace = 0.0, 0, [], []
        self.processes, self.incarnations, self.hosts = {}, 0, workers
        self.files, self.manifests, self.meetings = {}, [], {}
        self.given_up, self.lapsed = None, []
        self.finished, self.disk_full, self.crash_at_commit, self.runs = None, False, None, 1
        watch.cluster = self
        self.start_coordinator(manifest)
        for index in range(workers):
            self.after(self.random.random() * 0.3, self.join, index)

    # --- time --------------------------------------------------------------------------------------------------

    def after(self, delay, action, *arguments):
        self.count += 1
        heapq.heappush(self.heap, (self.time + delay, self.count, action, arguments))

    def run(self, until):
        while self.heap and self.heap[0][0] <= until and self.finished is None:
            self.time, _, action, arguments = heapq.heappop(self.heap)
            action(*arguments)
        if self.finished is None:
            self.time = until
        return self.finished is not None

    # --- processes ---------------------------------------------------------------------------------------------

    @property
    def table(self):
        return self.processes[on.COORDINATOR].state

    def workers(self):
        return [p for name, p in sorted(self.processes.items()) if name != on.COORDINATOR]

    def start_coordinator(self, manifest):
        process = self._process(on.COORDINATOR, "head", coordinator)
        self._begin(process, coordinator.begin(self.spec, process.clock(self.time), manifest, self.rules))

    def join(self, index):
        self.incarnations += 1
        name = f"w{index}.{self.incarnations}"
        process = self._process(name, f"host{index}", worker)
        self._begin(
            process,
            worker.begin(
                self.spec,
                name,
                process.host,
                process.clock(self.time),
                capacity=self.capacity,
                rules=self.rules,
                memory=self.memory,
            ),
        )
        self.look_at_peers(process)

    def _process(self, name, host, machine):
        drift = self.spec.times.drift
        rate, offset = 1 + self.random.uniform(-drift, drift), self.random.uniform(0, 1000)
        self.processes[name] = Process(name, host, machine, None, rate, offset)
        self.processes[name].reach = Reach(self.spec.times.link_timeout)
        return self.processes[name]

    def _begin(self, process, started):
        process.state, instructions = started
        self.perform(process, instructions)

    def crash(self, process, noticed):
        """End a process; `noticed`: the coordinator's host sees its connection close. Half of the time its nanny says so."""
        process.alive = False
        self.processes.pop(process.name, None)
        for other in self.workers():
            for tile in other.state.tiles.values():
                if process.name in partners(self.spec, tile.assignment):
                    self.after(0.1, self.tell, other, on.PeerLost, tile.role)
        head = self.processes[on.COORDINATOR]
        if noticed:
            self.after(0.05, self.tell, head, on.WorkerLost, process.name)
        if self.random.random() < 0.5:
            report = (on.WorkerExited, process.name, process.name, Cause(), True)
            self.after(self.random.random(), self.tell, head, *report)

    def crash_all(self):
        """The coordinator's end is that of all; the run goes on from the newest checkpoint under a new token."""
        for process in self.processes.values():
            process.alive = False
        self.processes.clear()
        self.meetings.clear()
        self.runs += 1
        self.watch.resumed(self.manifests[-1] if self.manifests else None)
        validated, attempts = self.watch.validated_by(self.manifests[-1] if self.manifests else None)
        self.spec = replace(self.spec, run=f"run{self.runs}", validated=validated, validations=attempts)
        self.start_coordinator(self.manifests[-1] if self.manifests else None)
        for index in range(self.hosts):
            self.after(self.random.random(), self.join, index)

    def tell(self, process, event, *arguments):
        """Let a process take an event now, or when it wakes up."""
        if not process.alive:
            return
        if process.wakes > self.time:
            self.after(process.wakes - self.time + 1e-6, self.tell, process, event, *arguments)
            return
        happened = event(process.clock(self.time), *arguments)
        self.trace.append((self.time, process.name, event.__name__))
        before = process.state
        process.state, instructions = process.machine.step(process.state, happened)
        if process.name == on.COORDINATOR:
            self.watch.decided(before, process.state)
        if process.freeze:  # it stops between its decision and its deeds
            self._stand_still(process)
        self._act(process, instructions)

    def _act(self, process, instructions):
        """Let a process do what it has decided to, now or when it wakes up: before it takes any other event."""
        if process.wakes > self.time:
            self.after(process.wakes - self.time, self._act, process, instructions)
        else:
            self.perform(process, instructions)

    def stop(self, process, seconds, asleep=False):
        """Stop a process, half of the time between a decision and what follows from it; `asleep`: its machine, too."""
        process.freeze, process.asleep = seconds, asleep
        at_once = self.random.random() < 0.5
        if at_once == asleep:  # which half it is decides what seeds draw: those of sleep came later
            self._stand_still(process)

    def _stand_still(self, process):
        if process.asleep and not self.counts_sleep:  # a clock that stands still in suspend
            process.offset -= process.freeze * process.rate
        process.wakes, process.freeze = max(process.wakes, self.time + process.freeze), 0.0

    def tick(self, process, number):
        if number == process.timer:
            self.tell(process, on.Tick)

    def look_at_peers(self, process):
        if not process.alive:
            return
        if process.wakes <= self.time:
            unreachable = process.reach.unreachable(process.clock(self.time))
            if unreachable != process.state.unreachable:
                self.tell(process, on.PeersUnreachable, unreachable)
            clock = process.clock(self.time)
            for peer in sorted(
                process.reach.quiet(worker.peers(process.state), self.spec.times.heartbeat_interval, clock)
            ):
                self._post(process, peer, PROBE, [])
        self.after(self.spec.times.heartbeat_interval, self.look_at_peers, process)

    # --- instructions ------------------------------------------------------------------------------------------

    def perform(self, process, instructions):
        for instruction in instructions:
            if process.alive:
                getattr(self, f"_{type(instruction).__name__}")(process, instruction)

    def _Send(self, process, send):
        if send.before is not None and process.clock(self.time) >= send.before:
            return
        if isinstance(send.message, PullReply | PushAck):
            self.watch.replied(process, send.message)
        size = HEAVY if isinstance(send.message, Push | PullReply | InstallSnapshot | AppendEntries) else 0
        if on.COORDINATOR not in (process.name, send.to):
            self._post(process, send.to, size, [0.5])
        copies = 1 + (self.random.random() < self.network.twice)
        for _ in range(copies):
            lost = self.random.random() < self.network.loss
            if lost or not self.network.passes(process.name, send.to, size):
                continue
            delay = 0.002 + self.random.random() * 0.03
            if self.random.random() < self.network.late:
                delay += self.random.random() * 1.5
            self.after(delay, self._arrive, process.name, send)

    def _arrive(self, sender, send):
        if send.to in self.processes:
            self.tell(self.processes[send.to], on.Received, sender, send.message)

    # --- acknowledgements: the connection's, not the protocol's --------------------------------------------------

    def _post(self, process, to, size, pauses):
        """Send something over a connection that tries for a while, as TCP does; after each pause, again if it failed."""
        process.reach.begun(to, size, process.clock(self.time))
        self.after(0.01, self._try, process, to, size, pauses, self.time + 20)

    def _try(self, process, to, size, pauses, deadline):
        receiver = self.processes.get(to)
        if receiver is None or (process.name, to) in self.network.closed or self.time >= deadline:
            self._acknowledge(process.reach.failed, process, to, size)
            for pause in pauses[:1]:
                self.after(pause, self._post, process, to, size, pauses[1:])
        elif receiver.wakes > self.time or not self.network.answers(process.name, to, size):
            self.after(0.2, self._try, process, to, size, pauses, deadline)
        else:
            self._acknowledge(process.reach.taken, process, to, size)

    def _acknowledge(self, note, process, to, size):
        if process.wakes > self.time:
            self.after(process.wakes - self.time, self._acknowledge, note, process, to, size)
        else:
            note(to, size, process.clock(self.time))

    def _SetTimer(self, process, timer):
        process.timer += 1
        self.after(max(0.0, process.true(timer.at) - self.time) + 1e-9, self.tick, process, process.timer)

    def _Refused(self, process, refused):
        self.watch.refused[refused.reason] += 1

    def _Stopped(self, process, stopped):
        pass

    # --- numerics: one at a time for each role, in order -------------------------------------------------------

    def _in_order(self, process, role, work, seconds=0.02):
        start = max(self.time, process.busy.get(role, 0.0))
        process.busy[role] = start + self.random.random() * seconds
        self.after(process.busy[role] - self.time, self._work, process, work)

    def _work(self, process, work):
        if process.alive and process.wakes > self.time:
            self.after(process.wakes - self.time, self._work, process, work)
        elif process.alive:
            work()

    def _LoadCheckpoint(self, process, load):
        self.watch.restored.add(load.role.index)

        def work():
            role, metadata, manifest = load.role, None, self.table.manifest
            state = ServerState(steps=manifest.step or 0) if manifest is not None else ServerState()
            digests = [m.digests for m in self.manifests if m.id == load.checkpoint]
            if digests:
                metadata, state = self.files[digests[-1][role.index]]
            process.stores[role] = state
            self.tell(process, on.CheckpointLoaded, role, metadata)

        self._in_order(process, load.role, work, 0.2)

    def _Measure(self, process, measure):
        found = squares([part.payload for part in measure.parts], self.spec.norms)
        self._in_order(
            process,
            measure.role,
            lambda: self.tell(process, on.Measured, measure.role, measure.step, found),
        )

    def _LoadSnapshot(self, process, load):
        self._in_order(process, load.role, lambda: process.stores.update({load.role: load.payload}))

    def _Apply(self, process, apply):
        def work():
            if apply.role not in process.stores:
                return
            state = process.stores[apply.role].applied(apply.parts, self.spec.synchronous, apply.norms)
            process.stores[apply.role] = state
            self.watch.applied(process, apply, state)
            self.tell(process, on.Applied, apply.role, apply.position)

        self._in_order(process, apply.role, work)

    def _Duplicate(self, process, duplicate):
        self.watch.duplicates += 1

    def _ReadParams(self, process, read):
        def work():
            if read.role in process.stores:
                self.tell(process, on.ParamsRead, read.role, read.ticket, process.stores[read.role])

        self._in_order(process, read.role, work)

    def _TakeSnapshot(self, process, take):
        def work():
            if take.role in process.stores:
                snapshot = process.stores[take.role]
                self.after(
                    self.random.random() * 0.3,
                    self.tell,
                    process,
                    on.SnapshotTaken,
                    take.role,
                    take.incarnation,
                    snapshot,
                )

        self._in_order(process, take.role, work)

    def _SaveShard(self, process, save):
        def work():
            if save.role not in process.stores:
                return
            state = process.stores[save.role]
            self.after(self.random.random() * 0.4, self._write, process, save, state)

        self._in_order(process, save.role, work)

    def _write(self, process, save, state):
        if not process.alive:
            return
        pending = self.table.pending
        if self.disk_full and pending is not None and not pending.final:
            self.tell(process, on.ShardSaved, save.role, save.id, None, "the disk is full")
            return
        digest = f"{save.id}/{save.role.index}/{process.name}/{state.fold}"
        self.files[digest] = (save.metadata, state)
        self.tell(process, on.ShardSaved, save.role, save.id, digest)

    def _Drop(self, process, drop):
        process.stores.pop(drop.role, None)
        self._Cancel(process, drop)

    # --- tiles: a step is done when all tiles of a generation compute it ------------------------------------------

    def _LoadParams(self, process, load):
        _, batches = process.stores.get(load.role, (0, ()))
        folds = {payload.fold for payload in load.payloads}
        assert len(folds) == 1 or not self.spec.synchronous, "parameters of two steps"
        process.stores[load.role] = (load.payloads[0].fold, batches)

    def _Compute(self, process, compute):
        fold, batches = process.stores[compute.role]
        batches = (compute.batch,) if compute.first else (*batches, compute.batch)
        process.stores[compute.role] = (fold, batches)
        self.watch.computing(compute)

        def computed(seconds):
            self._computed(process, compute, batches, fold, seconds)

        self._join_in(process, compute, (compute.update, compute.index), computed)

    def _Validate(self, process, validate):
        fold, _ = process.stores[validate.role]

        def validated(seconds):
            part = ValidatedPart(validate.id, 10, {"fold": float(fold)}, seconds)
            self.tell(process, on.PartValidated, validate.role, part)

        self._join_in(process, validate, ("validation", validate.id), validated)

    def _join_in(self, process, wanted, what, done):
        """Let a tile meet the others of its generation for what all do together."""
        role = wanted.role
        key = (role.slot, wanted.generation, *what)
        self.meetings.setdefault(key, {})[role.index] = (process, role, done)
        for peer in set(self.spec.partners_of(role.index, wanted.peers)) - {process.name}:
            self._post(process, peer, HEAVY, [0.5] * 40)
        self._meet(key)

    def _WriteParams(self, process, write):
        fold, _ = process.stores[write.role]

        def work():
            if write.role not in process.stores:
                return
            shards = self.spec.shards_of(write.role.index)
            digests = tuple(f"{write.id}/{shard}/{process.name}/{fold}" for shard in shards)
            found = WrittenParams((), "the disk is full") if self.disk_full else WrittenParams(digests)
            self.tell(process, on.ParamsWritten, write.role, write.id, found)

        self._in_order(process, write.role, work, 0.3)

    def _meet(self, key):
        """Let the tiles of a step exchange arrays, once all are there, if they reach each other."""
        meeting = self.meetings.get(key, {})
        if len(meeting) < self.spec.tiles:
            return
        names = [meeting[tile][0].name for tile in range(self.spec.tiles)]
        ways = [
            (a, b)
            for tile, a in enumerate(names)
            for b in (self.spec.partners_of(tile, names) if self.network.disturbed else ())
            if a != b
        ]
        if not all(self.network.answers(a, b, HEAVY) for a, b in ways):
            self.after(0.2, self._meet, key)
            return
        del self.meetings[key]
        slot = key[0]
        seconds = 0.05 + self.random.random() * 0.15 * (1 + slot)
        own = {tile: seconds * self.work[tile] * found[0].slowness for tile, found in meeting.items()}
        for tile, member in meeting.items():
            late = max(own.values()) + self.random.random() * 0.02
            self.after(late, member[2], late if self.counts_waiting else own[tile])

    def _computed(self, process, compute, batches, fold, seconds):
        self.watch.stepped(compute.role.slot)
        params = fold if self.spec.synchronous else compute.generation
        parts = self.spec.shards_per_tile if compute.last else 0
        payloads = (gradient(compute.update, batches, params),) * parts
        self.tell(process, on.Computed, compute.role, compute.update, compute.index, payloads, seconds)

    def _Cancel(self, process, cancel):
        for meeting in self.meetings.values():
            found = meeting.get(cancel.role.index)
            if found is not None and found[:2] == (process, cancel.role):
                del meeting[cancel.role.index]

    # --- the coordinator's ---------------------------------------------------------------------------------------

    def _CommitManifest(self, process, commit):
        if self.crash_at_commit is not None:
            if self.crash_at_commit == "after":
                self.manifests.append(commit.manifest)
            self.crash_at_commit = None
            self.crash_all()
            return
        self.after(self.random.random() * 0.2, self._rename, process, commit.manifest)

    def _rename(self, process, manifest):
        if process.alive:
            self.manifests.append(manifest)
            self.watch.saved(manifest)
            self.tell(process, on.ManifestWritten, manifest.id)

    def _Judge(self, process, judge):
        best = self.watch.judged(judge)
        self.after(self.random.random() * 0.1, self.tell, process, on.Judged, judge.order.id, best)

    def _KeepBest(self, process, keep):
        def kept():
            if process.alive:
                self.watch.kept(keep)
                self.tell(process, on.BestKept, keep.order.id)

        self.after(self.random.random() * 0.2, kept)

    def _DeclareLost(self, process, declared):
        self.watch.declared_lost(declared)

    def _DeclareRollback(self, process, declared):
        self.watch.declared_rollback(declared)

    def _DeclareTorn(self, process, declared):
        self.watch.torn.add(declared.update)

    def _DeclareLapsed(self, process, declared):
        self.lapsed.append(declared)
        self.watch.given_back.update(declared.batches)

    def _Note(self, process, note):
        self.watch.notes.append((self.time, note.what))

    def _DeclareSlow(self, process, declared):
        self.watch.slow.append(declared)

    def _GiveUp(self, process, given_up):
        self.given_up = (self.time, given_up)

    def _Drained(self, process, drained):
        self.watch.drained.append(drained.worker)

    def _Finish(self, process, finish):
        self.finished = finish


def partners(spec, assignment):
    """The workers of the tiles that a tile exchanges with."""
    return spec.partners_of(assignment.tile, assignment.peers)


def spec(**settings):
    """A run of small numbers; only a synchronous one has norms."""
    settings = settings if settings.get("staleness") == 0 else {**settings, "norms": 0}
    return Spec(**{"run": "run1", "replicas": 2, "tiles": 2, "batches": 12, "times": TIMES, **settings})
