"""The coordinator's process, Dask's scheduler: performs the instructions of the protocol's coordinator.

No arrays pass here: heartbeats and desired states use the scheduler's own streams, and a manifest is a small file.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Scheduler, SchedulerPlugin
from distributed.comm.core import CommClosedError

from lnet.runtime.cluster import clock
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.monitor.metrics import scheduler_samples
from lnet.runtime.cluster.monitor.overview import Overview
from lnet.runtime.cluster.monitor.prometheus import Source, publish, withdraw
from lnet.runtime.cluster.monitor.web import serve
from lnet.runtime.cluster.names import CONTROL, DESIRED_STATES, ENDED, HEARTBEATS, plugin_name
from lnet.runtime.cluster.names import topic as topic_of
from lnet.runtime.cluster.protocol import coordinator as machine
from lnet.runtime.cluster.protocol import events, room
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.manifest import Manifest, SlotRecord
from lnet.runtime.cluster.protocol.messages import ProcessExited
from lnet.runtime.cluster.protocol.spec import Spec
from lnet.runtime.cluster.protocol.table import Member
from lnet.runtime.cluster.protocol.wire import Malformed, pack, unpack
from lnet.runtime.cluster.published import (
    ImagesOpening,
    RunDeserted,
    RunFinished,
    RunHopeless,
    RunTakenOver,
    as_worker,
    published,
    to_publish,
)
from lnet.runtime.store.events import (
    CheckpointWritten,
    Event,
    MessagesRefused,
    Noted,
    ProcessEnded,
    ReplicaLapsed,
    RolledBack,
    UpdatesLost,
    UpdateTorn,
    Warned,
    WorkerDrained,
)
from lnet.runtime.store.owner import EVERY, TakenOver
from lnet.runtime.store.shards import opened

from .judging import Judging
from .roles import changes, in_words, lost_workers, short_name, slow_worker, with_short_names
from .roles_plugin import counted


class CoordinatorPlugin(SchedulerPlugin):
    """The coordinator of one run, for as long as the client that began it is connected.

    `places`: names of Dask's workers by their addresses; `watched`: the newest worker of each nanny.
    """

    def __init__(self, config: RunConfig, client: str) -> None:
        self.config, self.client = config, client
        self.name = plugin_name(config.run)

    async def start(self, scheduler: Scheduler) -> None:
        self.scheduler, self.loop = scheduler, asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None
        self.refused: Counter[str] = Counter()
        self.addresses: dict[str, str] = {}
        self.known: dict[str, Member] = {}
        self.places: dict[str, str] = {}
        self.watched: dict[str, str] = {}
        for address in scheduler.workers:
            self.add_worker(scheduler, address)
        self.done = False
        self.without_workers, self.ticked = 0.0, self.now
        self.checked = self.now
        self.orphaned = False
        self.overview = Overview(self.config)
        self.source = Source(self.config, "scheduler", lambda: scheduler_samples(self.overview, self.refused))
        self.judging = Judging(self.config, self.tell, self.log, self._give_way)
        self.performers = self._performers() | self.judging.performers()
        if CONTROL not in scheduler.handlers:
            _SchedulerHandlers(scheduler).begin()
        self.state, instructions = machine.begin(self._spec(), self.now, self._manifest())
        publish(self.source)
        self.perform(instructions)

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        self.done = True
        withdraw(self.source)
        if self.timer is not None:
            self.timer.cancel()

    def _spec(self) -> Spec:
        """Return the specification of the run, with memory and work of its roles: only the coordinator needs them."""
        return replace(self.config.spec, needs=self.config.needs, work=self.config.work)

    def _manifest(self) -> Manifest | None:
        if self.config.origin is None:
            return None
        id, replicas = self.config.origin[0], self.config.spec.replicas
        found = opened(Path(self.config.origin[1]))
        if found.cluster is None:
            used = found.step * replicas
            return Manifest(id, "", found.step, (), (SlotRecord(0, ()),) * replicas, used, (), used)
        manifest: Manifest = replace(unpack(found.cluster, []), id=id)
        return manifest if self.config.laid_out_as(found) else manifest.reshaped(replicas)

    @property
    def now(self) -> float:
        return clock.now()

    def log(self, event: Event) -> None:
        self.scheduler.log_event(topic_of(self.config.run), to_publish(event))

    # --- the machine -----------------------------------------------------------------------------------------------

    def tell(self, event: Callable[..., Any], *arguments: Any) -> None:
        if self.done:
            return
        before = self.state
        self.state, instructions = machine.step(before, event(self.now, *arguments))
        members = self.state.members
        self.known.update((name, members[name]) for name in members.beyond(before.members))
        for change in changes(before, self.state):
            self.log(change)
        self.perform(instructions)

    def perform(self, instructions: tuple[do.Instruction, ...]) -> None:
        for instruction in instructions:
            self.performers[type(instruction)](instruction)

    def _send(self, send: do.Send) -> None:
        stream = self.scheduler.stream_comms.get(self._address(send.to))
        if stream is None:
            return
        data, _ = pack(send.message)
        with suppress(CommClosedError):  # Dask will say that the worker is lost
            stream.send({"op": DESIRED_STATES, "run": self.config.run, "desired": data})

    def _set_timer(self, timer: do.SetTimer) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(max(0.0, timer.at - self.now), self._tick)

    def _tick(self) -> None:
        if self.scheduler.plugins.get(self.name) is not self:
            self.stop()
            return
        self.tell(events.Tick)
        self._look_around()
        if self.now - self.checked > EVERY and not self.done:
            self.checked = self.now
            self.checking = self.loop.create_task(self._check_owner())

    async def _check_owner(self) -> None:
        """End if another process has taken the run over, however rare checkpoints are."""
        try:
            await asyncio.to_thread(self.config.owner.check)
        except TakenOver as error:
            self._give_way(error)
        except OSError:  # it is asked again, and before each checkpoint
            pass

    def _give_way(self, error: TakenOver) -> None:
        if not self.done:
            self.log(RunTakenOver(error.by))  # of which this one is told, too

    def _look_around(self) -> None:
        """Give the run up after `no_worker_timeout` with too few workers to begin, or none to go on.

        A process that stood still, or slept, has not waited: between two ticks at most two heartbeat intervals count.
        """
        waited = min(self.now - self.ticked, 2 * self.config.times.heartbeat_interval)
        self.ticked = self.now
        enough = 1 if self.state.begun else self.config.spec.workers
        found, short = len(self.state.members), room.short(self.state)
        if (found >= enough and not short) or self.state.finished:
            self.without_workers = 0.0
            return
        self.without_workers += waited
        if self.without_workers > self.config.no_worker_timeout:
            missing = "none is left" if self.state.begun else f"{found} of {enough} have joined"
            if short:
                missing = f"{short:,} bytes of memory are missing"
            message = f"no workers to go on with: {missing} for {self.config.no_worker_timeout:g} seconds"
            rooms = [f"{place} has {there:,} bytes for its roles" for place, there in room.rooms(self.state)]
            lost = (*lost_workers(self.state.deaths), *(rooms if short else ()))
            self.log(RunDeserted(message, lost))
            self.without_workers = 0.0
            self._leave()

    def _refuse(self, refused: do.Refused) -> None:
        self.refused[refused.reason] += 1
        if counted(self.refused[refused.reason]):
            self.log(MessagesRefused(refused.reason, self.refused[refused.reason]))

    def _commit(self, wanted: do.CommitManifest) -> None:
        # asyncio keeps no task alive by itself
        self.committing = self.loop.create_task(self._commit_aside(wanted.manifest))

    async def _commit_aside(self, manifest: Manifest) -> None:
        step = manifest.used // self.config.spec.replicas if manifest.step is None else manifest.step
        data, _ = pack(manifest)
        content = {
            "manifest": data,
            "digests": list(manifest.digests),
            "layout": self.config.layout,
            "torn": manifest.torn,
        }
        commit = self.config.checkpoints.commit
        try:
            path = await asyncio.to_thread(commit, self.config.owner, manifest.id, step, content)
        except TakenOver as error:
            self._give_way(error)
            return
        except OSError as error:
            self.log(Warned(f"the checkpoint at step {step:,} could not be written: {error}"))
            self.tell(events.ManifestWritten, manifest.id, str(error))
            return
        self.log(CheckpointWritten(step, path.name))
        self.tell(events.ManifestWritten, manifest.id)

    def _lost(self, lost: do.DeclareLost) -> None:
        updates = len(lost.updates)
        message = f"shard {lost.shard} lost {updates:,} acknowledged updates: no copy was left"
        self.log(UpdatesLost(lost.shard, lost.checkpoint, updates, message))

    def _rollback(self, back: do.DeclareRollback) -> None:
        message = f"steps {back.step:,} to {back.reached:,} are computed again: shard {back.shard} was lost"
        self.log(RolledBack(back.shard, back.checkpoint, back.step, back.reached, message))

    def _torn(self, torn: do.DeclareTorn) -> None:
        self.log(UpdateTorn(torn.update.slot, torn.update.number))

    def _lapsed(self, lapsed: do.DeclareLapsed) -> None:
        message = f"replica {lapsed.slot} lapses: no worker has room for its lost tiles"
        if lapsed.missing:
            message += f", {lapsed.missing:,} bytes of memory are missing"
        if lapsed.batches:
            message += f"; {len(lapsed.batches):,} batches are computed again"
        self.log(ReplicaLapsed(lapsed.slot, len(lapsed.batches), message))

    def _slow(self, declared: do.DeclareSlow) -> None:
        member = self.known[declared.worker]
        self.log(slow_worker(declared, short_name(declared.worker, member)))

    def _note(self, note: do.Note) -> None:
        if not note.routine:
            self.log(Noted(with_short_names(note.what, self.known)))

    def _give_up(self, given_up: do.GiveUp) -> None:
        hopeless = RunHopeless(
            processes=len(given_up.deaths),
            seconds=round(given_up.seconds),
            rollbacks=given_up.rollbacks,
            lost=tuple(lost_workers(given_up.deaths)),
            memory=any(death.cause.kind == "memory" for death in given_up.deaths),
        )
        self.log(hopeless)
        self._leave()

    def _drained(self, drained: do.Drained) -> None:
        self.log(WorkerDrained(with_short_names(drained.worker, self.known), drained.worker))

    def _finish(self, finish: do.Finish) -> None:
        finished = RunFinished(
            checkpoint=None if finish.manifest is None else finish.manifest.id,
            written=finish.manifest is not None and finish.manifest.id == self.state.checkpoints,
            complete=self.state.pool.used >= self.config.spec.batches and not self.state.validation_due,
            refused=dict(self.refused),
        )
        self.log(finished)
        self.loop.call_later(
            4 * self.config.times.heartbeat_interval, self._leave
        )  # until all workers have heard of it

    def _leave(self) -> None:
        """Take the run off the cluster if its client is gone."""
        if self.orphaned and not self.done:
            self._end()

    def _end(self) -> None:
        self.stop()
        self.scheduler.remove_plugin(self.name)
        self.leaving = self.loop.create_task(self._take_off())

    async def _take_off(self) -> None:
        await self.scheduler.unregister_worker_plugin(None, self.name)
        await self.scheduler.unregister_nanny_plugin(None, self.name)

    # --- what Dask and people tell it ------------------------------------------------------------------------------

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Dask knows a new worker, which is to join."""
        state = scheduler.workers[worker]
        self.places[worker] = str(state.name)
        if state.nanny is not None:
            self.watched[state.nanny] = worker

    def remove_worker(self, scheduler: Scheduler, worker: str, **details: Any) -> None:
        """Dask saw a worker's connection end."""
        if not any(self._address(name) == worker for name in self.known):
            self.tell(events.WorkerLost, worker, self.places.get(worker, worker))
        for name in [name for name in self.state.members if self._address(name) == worker]:
            self.tell(events.WorkerLost, name)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Nobody follows the run any more: save what there is, and leave the cluster to others."""
        if client == self.client and not self.done:
            self._abandon()

    def _abandon(self) -> None:
        self.orphaned = True
        self.tell(events.StopRequested)

    def log_event(self, topic: str, msg: Any) -> None:
        """Somebody published an event."""
        if topic != topic_of(self.config.run):
            return
        try:
            found = published(msg)
        except Malformed as error:
            self._refuse(do.Refused(f"malformed: {error}", msg))
            return
        if found is not None:
            self._heard(found.event)

    def _heard(self, event: Event) -> None:
        self.overview.take(event, self.now)
        match event:
            case ImagesOpening():
                self.without_workers = 0.0
            case RunTakenOver() if not self.done:  # from then on nothing of it may be written
                self._end()

    def take(self, address: str, heartbeat: Any) -> None:
        try:
            found = unpack(heartbeat, [])
        except Malformed as error:
            self._refuse(do.Refused(f"malformed: {error}", heartbeat))
            return
        name = getattr(found, "worker", address)
        self.addresses[name] = address
        self.tell(events.Received, name, found)

    def _address(self, worker: str) -> str:
        """Return Dask's address of a worker: a host that calls itself by a name has one by its number."""
        return self.addresses.get(worker, worker.partition("#")[0])

    def end(self, ended: Any) -> None:
        """Take the report of why a process ended."""
        try:
            found = unpack(ended, [])
        except Malformed as error:
            self._refuse(do.Refused(f"malformed: {error}", ended))
            return
        if not isinstance(found, ProcessExited) or found.run != self.config.run:
            self._refuse(do.Refused("of another run", found))
            return
        address = found.worker or self.watched.get(found.address, found.address)
        place = self.places.get(address, found.place)
        cause = in_words(found.cause)
        self.log(ProcessEnded(cause, f"{place} ended: {cause}", as_worker(place)))
        self.tell(events.WorkerExited, address, place, found.cause, bool(found.worker))

    def control(self, what: str, worker: str = "") -> bool:
        """Do what a command asks: confirm the run, stop, abandon or leave it, save a checkpoint, or drain a worker."""
        match what:
            case "known":
                return True
            case "stop":
                self.tell(events.StopRequested)
            case "abandon":
                self._abandon()
            case "leave":
                self.stop()
                self.scheduler.remove_plugin(self.name)
            case "checkpoint":
                self.tell(events.CheckpointRequested)
            case "drain":
                known = [
                    n for n, m in self.state.members.items() if worker in (n, n.partition("#")[0], m.place)
                ]
                for name in known:
                    self.tell(events.DrainRequested, name)
                return bool(known)
            case _:
                return False
        return True

    def _performers(self) -> dict[type, Callable[..., None]]:
        """Return the handler of each instruction."""
        return {
            do.Send: self._send,
            do.SetTimer: self._set_timer,
            do.Refused: self._refuse,
            do.CommitManifest: self._commit,
            do.DeclareLost: self._lost,
            do.DeclareRollback: self._rollback,
            do.DeclareTorn: self._torn,
            do.DeclareLapsed: self._lapsed,
            do.DeclareSlow: self._slow,
            do.Note: self._note,
            do.GiveUp: self._give_up,
            do.Drained: self._drained,
            do.Finish: self._finish,
        }


class _SchedulerHandlers:
    """The scheduler's handlers: each passes a message to the coordinator of its run."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def begin(self) -> None:
        """Register the handlers for all runs, once on a scheduler."""
        self.scheduler.stream_handlers[HEARTBEATS] = self.heartbeat
        self.scheduler.handlers[CONTROL] = self.control
        self.scheduler.handlers[ENDED] = self.end
        serve(self.scheduler, self.overviews)

    def _coordinator(self, run: str) -> CoordinatorPlugin | None:
        found = self.scheduler.plugins.get(plugin_name(run))
        return found if isinstance(found, CoordinatorPlugin) and not found.done else None

    def overviews(self) -> dict[str, Overview]:
        """Return the overview of each run, by the beginning of its token."""
        coordinators = [
            plugin for plugin in self.scheduler.plugins.values() if isinstance(plugin, CoordinatorPlugin)
        ]
        return {
            coordinator.config.short: coordinator.overview
            for coordinator in coordinators
            if not coordinator.done
        }

    def heartbeat(self, worker: str, run: str, heartbeat: Any) -> None:
        coordinator = self._coordinator(run)
        if coordinator is not None:
            coordinator.take(worker, heartbeat)

    async def control(self, run: str, what: str, worker: str = "") -> bool:
        coordinator = self._coordinator(run)
        return coordinator is not None and coordinator.control(what, worker)

    async def end(self, run: str, ended: Any) -> None:
        coordinator = self._coordinator(run)
        if coordinator is not None:
            coordinator.end(ended)
