"""A worker's process: performs the instructions of the protocol's worker, with numerics in threads and messages over Dask.

    Dask's event loop                                        threads, one for each role
      messages and timers -----> machine --> instructions --> compute, apply, read, save
                                      ^                             |
                                      +------------ events ---------+

The state machine runs on the event loop only; nothing there waits for arithmetic or for the disk. Everything that moves or
changes names of Dask's is here, in coordinator_plugin.py, outbox.py and web.py.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from distributed import Status, Worker, WorkerPlugin
from distributed.comm.core import Comm, connect

from lnet.compiler.plugins.load import lacked
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.cluster import clock
from lnet.runtime.cluster.config import RunConfig, versions
from lnet.runtime.cluster.descriptors import limit
from lnet.runtime.cluster.monitor.gauge import Gauge
from lnet.runtime.cluster.monitor.metrics import Tally, worker_samples
from lnet.runtime.cluster.monitor.prometheus import Source, publish, withdraw
from lnet.runtime.cluster.names import DELIVER, DESIRED_STATES, HEARTBEATS, LINE, plugin_name, topic
from lnet.runtime.cluster.protocol import events
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol import worker as machine
from lnet.runtime.cluster.protocol.events import COORDINATOR, RoleId
from lnet.runtime.cluster.protocol.messages import PullReply
from lnet.runtime.cluster.protocol.primary import Primary
from lnet.runtime.cluster.protocol.wire import Malformed, pack, unpack
from lnet.runtime.cluster.published import (
    ImagesDiffer,
    ImagesOpening,
    RunTakenOver,
    TileComputed,
    TileDiverged,
    WorkerFailed,
    to_publish,
)
from lnet.runtime.cluster.transport.awake import Awake
from lnet.runtime.cluster.transport.inbox import Address, address_from
from lnet.runtime.cluster.transport.lines import NOBODY, OPEN, Lines
from lnet.runtime.cluster.transport.outbox import Outbox, bytes_of
from lnet.runtime.cluster.transport.parcels import Parcels
from lnet.runtime.engine.rounding import incoming
from lnet.runtime.process.cache import keep_programs
from lnet.runtime.process.compilations import compilations, count_compilations
from lnet.runtime.store.events import (
    Event,
    LeftOut,
    MessagesRefused,
    ProcessLeft,
    ProcessReady,
    Warned,
)
from lnet.runtime.store.owner import TakenOver

from .numerics import Differs, Diverged
from .rehearsal import ROLE, Rehearsal
from .servers import Servers
from .threads import Threads
from .tiles import Tiles
from .validating import Validating
from .validator import PayloadValidator

OPENING = 10.0
"""Seconds after which a process says again that it still opens its images."""


def counted(times: int) -> bool:
    """Whether a message refused for the same reason so many times is worth a line: the 1st, 2nd, 4th, 8th, ..."""
    return times & (times - 1) == 0


class RolesPlugin(WorkerPlugin):
    """One process of one run."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.name = plugin_name(config.run)

    # --- beginning and end -----------------------------------------------------------------------------------------

    async def setup(self, worker: Worker) -> None:
        keep_programs()
        count_compilations()
        self.compiled = compilations()
        self.worker, self.loop = worker, asyncio.get_running_loop()
        self.me = f"{worker.address}#{uuid.uuid4().hex[:12]}"
        self.threads = Threads(
            lambda: self.config.plan.graph.training.dtype,
            self.tell_from_thread,
            lambda error: self.soon(self._fail, error),
        )
        self.servers = Servers(self.config, self.threads, self.log, self._leads)
        self.tiles = Tiles(self.config, self.threads, self.log, self.soon, self._dispatch_arrays, self._ahead)
        self.parcels = Parcels()
        self.validating = Validating(self.config, self.tiles, lambda event: self.soon(self.log, event))
        self.validator = PayloadValidator(self.config, self.tiles.programme, self.validating.programme)
        self.performers = (
            self._own_performers()
            | self.servers.performers()
            | self.tiles.performers()
            | self.validating.performers()
        )
        self.tally, self.gauge = Tally(), Gauge(worker)
        self.rehearsal = Rehearsal(
            self.config,
            str(worker.name),
            self.tiles,
            self.validating.shard,
            lambda: self._idle,
            lambda: self.gauge.read().free,
            lambda event: self.soon(self.log, event),
        )
        self.source = Source(self.config, str(worker.name), lambda: worker_samples(self.tally, self.state))
        self.awake, handlers = Awake(self.config.times.heartbeat_interval), _WorkerHandlers(worker)
        self.lines = Lines(self.me, self._connect, handlers.take, self.awake.now)
        self.outbox = Outbox(
            self.lines,
            self.config,
            self.me,
            self.tally,
            self.tiles.count,
            self.tiles.busy,
            self._lose,
            self.awake,
        )
        self.timer: asyncio.TimerHandle | None = None
        self.done, self.joined, self.ready = False, False, False
        self.without_coordinator, self.ticked = 0.0, self.now
        worker.handlers.setdefault(DELIVER, handlers.deliver)
        worker.handlers.setdefault(LINE, handlers.line)
        worker.stream_handlers.setdefault(DESIRED_STATES, handlers.desired)
        differing = [pair for pair in versions() if pair not in self.config.versions]
        if differing:
            expected = dict(self.config.versions)
            self.log(LeftOut(versions={name: (expected.get(name), found) for name, found in differing}))
            return
        lacks = lacked(self.config.plugins)
        if lacks:
            self.log(LeftOut(message="it lacks plug-ins of the run", notes=tuple(lacks)))
            return
        need, allowed = self.config.descriptors.worker, limit()
        if allowed < need:
            message = f"it may have {allowed:,} files and connections open, and needs {need:,}"
            self.log(LeftOut(message=message, notes=(f"start it after 'ulimit -n {need}'",)))
            return
        self.joining = self.loop.create_task(self._join())

    async def _join(self) -> None:
        """Join once the images are open, also those to validate on, if they are those of the run."""
        opening = asyncio.ensure_future(asyncio.wrap_future(self.tiles.images.open(self.validating.check)))
        try:
            while not (await asyncio.wait([opening], timeout=OPENING))[0]:
                self.log(ImagesOpening())
            self._begin(opening.result())
        except LnetError as error:
            first = error.diagnostics[0]
            self.log(LeftOut(message=first.message, notes=first.notes))
            self.stop()
        except Exception as error:  # what nobody foresaw ends the run
            self._fail(error)

    def _begin(self, notes: Sequence[str]) -> None:
        if self.done:
            return
        for note in notes:
            self.log(Warned(f"{self.worker.name}: {note}"))
        self.joined, self.began = True, self.now
        state, instructions = machine.begin(
            self.config.spec,
            self.me,
            socket.gethostname(),
            self.now,
            str(self.worker.name),
            self.config.capacity,
            memory=self.gauge.read(),
        )
        self.state = state
        publish(self.source)
        self.perform(instructions)
        self._look_around()
        self.threads.submit(ROLE, self.rehearsal.go)

    async def teardown(self, worker: Worker) -> None:
        self.stop()

    def stop(self) -> None:
        """Free everything, and send nothing any more."""
        self.done = True
        self.rehearsal.leaving.set()
        withdraw(self.source)
        if self.timer is not None:
            self.timer.cancel()
        self.outbox.close()
        self.tiles.close()
        self.servers.close()
        self.threads.end_all()

    @property
    def now(self) -> float:
        return clock.now()

    def log(self, event: Event) -> None:
        """Count and publish an event of the run."""
        self.tally.take(event)
        self.worker.log_event(topic(self.config.run), to_publish(event, str(self.worker.name)))
        if isinstance(event, TileComputed) and not self.ready:
            self.ready = True
            self.log(ProcessReady(compilations() - self.compiled, round(self.now - self.began, 3)))

    # --- the machine -----------------------------------------------------------------------------------------------

    def tell(self, event: Callable[..., Any], *arguments: Any) -> None:
        """Step the state machine with an event, and perform its instructions."""
        if self.done:
            return
        self.state, instructions = machine.step(self.state, event(self.now, *arguments))
        self.perform(instructions)

    def soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call something on the event loop, from whatever thread."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(call, *arguments)

    def tell_from_thread(self, event: Callable[..., Any], *arguments: Any) -> None:
        self.soon(self.tell, event, *arguments)

    def _fail(self, error: Exception) -> None:
        if self.done:  # what a process that leaves has taken from its threads is no failure of the run
            return
        if isinstance(error, TakenOver):
            self.log(RunTakenOver(error.by))
            self._leave()
        elif isinstance(error, Diverged):
            self.log(TileDiverged(**asdict(error)))
        elif isinstance(error, Differs):
            self.log(ImagesDiffer(**asdict(error)))
        elif isinstance(error, LnetError):
            first = error.diagnostics[0]
            self.log(WorkerFailed(first.message, first.code, first.notes, kind="LnetError"))
        else:
            self.log(WorkerFailed(str(error) or repr(error), kind=type(error).__name__))

    def perform(self, instructions: tuple[do.Instruction, ...]) -> None:
        for instruction in instructions:
            self.performers[type(instruction)](instruction)

    def _send(self, send: do.Send) -> None:
        if send.late(self.now):
            return
        if send.to == COORDINATOR:
            data, _ = pack(send.message)
            self.worker.batched_send({"op": HEARTBEATS, "run": self.config.run, "heartbeat": data})
        elif send.to == self.me:
            self.loop.call_soon(lambda: self.tell(events.Received, self.me, send.message))
        else:
            self.outbox.send(send)

    def _set_timer(self, timer: do.SetTimer) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(max(0.0, timer.at - self.now), self._tick)

    def _tick(self) -> None:
        """Tick the machine, or abandon a run whose coordinator has been silent for `no_worker_timeout`.

        A process that stood still has not waited: between two ticks at most one heartbeat interval counts.
        """
        self.without_coordinator += min(self.now - self.ticked, self.config.times.heartbeat_interval)
        self.ticked = self.now
        if self.without_coordinator <= self.config.no_worker_timeout:
            self.tell(events.Tick)
        else:
            self._abandon_run()

    def _look_around(self) -> None:
        """Every heartbeat interval, measure memory and reach, and probe needed peers that nothing was sent to.

        Ticks would not do: while there is much to tell, none come.
        """
        if self.done:
            return
        self.awake.tick()
        self.lines.close_idle()
        self.tell(events.MemoryMeasured, self.gauge.read())
        now = self.awake.now()
        unreachable = self.outbox.reach.unreachable(now)
        if unreachable != self.state.unreachable:
            self.tell(events.PeersUnreachable, unreachable)
        for peer in self.outbox.reach.quiet(
            machine.peers(self.state), self.config.times.heartbeat_interval, now
        ):
            self.outbox.probe(peer)
        self.loop.call_later(self.config.times.heartbeat_interval, self._look_around)

    @property
    def _idle(self) -> bool:
        """Whether it has no tile and never computed one."""
        return not (self.done or self.ready or self.state.tiles)

    def _abandon_run(self) -> None:
        """Leave the run and free its state: those still in it count this process as lost."""
        waited = f"{self.config.no_worker_timeout:g} seconds"
        self.log(Warned(f"{self.worker.name} leaves: it had no message from the coordinator for {waited}"))
        self._leave()

    def _leave(self) -> None:
        self.stop()
        self.state = replace(self.state, tiles={}, servers={}, stopped=True)

    def _refuse(self, refused: do.Refused) -> None:
        self.refuse(refused.reason)

    def refuse(self, reason: str) -> None:
        """Count a message that was refused."""
        self.tally.refused[reason] += 1
        count = self.tally.refused[reason]
        if counted(count):
            self.log(MessagesRefused(reason, count))

    def _count_duplicate(self, duplicate: do.Duplicate) -> None:
        self.refuse("an update that was taken before")

    def _drop(self, drop: do.Drop) -> None:
        self.tiles.drop(drop.role)
        self.servers.drop(drop.role)
        self.threads.end(drop.role)

    def _stopped(self, stopped: do.Stopped) -> None:
        self.log(ProcessLeft(dict(self.tally.refused)))
        self.stop()

    # --- messages between processes --------------------------------------------------------------------------------

    async def _connect(self, to: str) -> Comm | None:
        """Open a connection to another process, None if it is not at its address any more; raises `OSError`."""
        comm = await connect(to.partition("#")[0], **self.worker.rpc.connection_args)
        try:
            await comm.write({"op": LINE, "run": self.config.run, "sender": self.me, "receiver": to})
            there = await comm.read() == OPEN
        except BaseException:
            comm.abort()
            raise
        if not there:
            comm.abort()
        return comm if there else None

    def reconcile(self, desired: Any) -> None:
        """Take the desired state that the coordinator sends."""
        self.without_coordinator = 0.0
        idle = self._idle
        self.take(COORDINATOR, desired, [])
        if idle and self.state.tiles:
            self.compiled = compilations()

    def take(self, sender: str, message: Any, payloads: list[Any]) -> None:
        """Receive a message, or refuse what is not one."""
        try:
            payloads = [self.parcels.opened(sender, payload) for payload in payloads]
            self.validator.weigh(payloads)
            found = unpack(message, [incoming(payload) for payload in payloads])
            self.validator.check(found)
        except Malformed as error:
            self.refuse(f"malformed: {error}")
            return
        moved = bytes_of(found, payloads)
        self.tally.received.update(moved)
        if isinstance(found, PullReply):
            self.tiles.count(found.fence, sum(moved.values()))
        self.tell(events.Received, sender, found)

    # --- arrays between tiles --------------------------------------------------------------------------------------

    def _dispatch_arrays(self, role: RoleId, to: str, address: Address, arrays: list[Any]) -> None:
        if to == self.me:
            self.tiles.inbox.put(address, arrays)
        else:
            self.outbox.send_arrays(role, to, address, arrays)

    def _lose(self, role: RoleId) -> None:
        self.tell(events.PeerLost, role)

    def take_part(self, sender: str, numbers: Any, address: Any, arrays: list[Any]) -> None:
        """Take a part of an array: of one for an address, or of a payload."""
        try:
            found = None if address is None else address_from(address)
            self.parcels.put(sender, numbers, arrays, self.validator.most(found))
        except Malformed as error:
            self.refuse(f"malformed: {error}")

    def take_arrays(self, sender: str, address: Any, arrays: list[Any]) -> None:
        """Take arrays of a step from another tile."""
        try:
            found = address_from(address)
            arrays = self.parcels.opened(sender, arrays)
            self.validator.check_exchange(found, arrays)
        except Malformed as error:
            self.refuse(f"malformed: {error}")
            return
        self.tally.received["exchange"] += sum(array.nbytes for array in arrays)
        if not self.tiles.inbox.put(found, arrays):
            self.refuse("of a generation that is over")

    def _leads(self, role: RoleId) -> bool:
        return isinstance(self.state.servers.get(role.index), Primary)

    def _ahead(self, role: RoleId, batch: int) -> list[int]:
        """Return the batches that a tile will compute, from this one on."""
        work = self.state.tiles[role.slot, role.index].assignment.work
        return [number for task in work for number in task.batches if number >= batch]

    def _own_performers(self) -> dict[type, Callable[..., None]]:
        """Return the handler of each instruction."""
        return {
            do.Send: self._send,
            do.SetTimer: self._set_timer,
            do.Refused: self._refuse,
            do.Duplicate: self._count_duplicate,
            do.Drop: self._drop,
            do.Stopped: self._stopped,
        }


class _WorkerHandlers:
    """The worker's handlers: each passes a message to the plugin of its run."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def _host(self, run: str) -> RolesPlugin | None:
        found = self.worker.plugins.get(plugin_name(run))
        return found if isinstance(found, RolesPlugin) and found.joined and not found.done else None

    async def deliver(
        self,
        run: str,
        sender: str,
        receiver: str,
        message: Any = None,
        payloads: Any = (),
        address: Any = None,
        arrays: Any = (),
        part: Any = None,
        probe: bytes = b"",
    ) -> str:
        host = self._host(run)
        if host is None or host.me != receiver:
            return NOBODY
        if probe:
            pass  # the answer is all that it is for
        elif part is not None:
            host.take_part(sender, part, address, list(arrays))
        elif address is not None:
            host.take_arrays(sender, address, list(arrays))
        else:
            host.take(sender, message, list(payloads))
        return "taken"

    async def take(self, **content: Any) -> None:
        """Take what comes over a line, as if it had come over a connection of its own."""
        await self.worker.handlers[DELIVER](**content)

    async def line(self, comm: Comm, run: str, sender: str, receiver: str) -> str | Status:
        """Serve the line that another process of a run opens, until it ends."""
        host = self._host(run)
        if host is None or host.me != receiver:
            return NOBODY
        await comm.write(OPEN)
        await host.lines.opened(sender, comm)
        return Status.dont_reply

    def desired(self, run: str, desired: Any) -> None:
        host = self._host(run)
        if host is not None:
            host.reconcile(desired)
