"""Train a plan on the workers of a Dask cluster: bring up the roles, follow the events, take them down again."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distributed import Client

from lnet.compiler.core.codec import Malformed
from lnet.compiler.cut.decoding import decoding, processes_of
from lnet.compiler.plan.plan import Plan
from lnet.compiler.plugins.identity import Plugin
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.data import Dataset, checksums
from lnet.runtime.data.in_memory import is_prepared
from lnet.runtime.engine.rounding import FLOAT32
from lnet.runtime.process.stopping import Stop
from lnet.runtime.store.events import (
    CheckpointWritten,
    ClusterBegun,
    Completed,
    DataFound,
    Event,
    Failed,
    LeftOut,
    LogEvent,
    Resumed,
    RolledBack,
    RunInterrupted,
    Started,
    Validated,
    Warned,
)
from lnet.runtime.store.log import EventLog
from lnet.runtime.store.owner import TakenOver, new_token, own
from lnet.runtime.store.run import Run, not_saved
from lnet.runtime.store.shards import number_of
from lnet.runtime.training.failure import explain_divergence
from lnet.runtime.training.progress import Reporter, validation
from lnet.runtime.training.provenance import expected
from lnet.runtime.training.unused import unused_anywhere
from lnet.runtime.training.validation import validated_steps, validation_text

from .actors.coordinator_plugin import CoordinatorPlugin
from .actors.entrance import Entrance
from .actors.predecessor import await_predecessor
from .actors.seen import SeenImages
from .check import check_origin, check_processes
from .config import RunConfig, ValidationConfig, versions
from .monitor.recorder import EventRecorder
from .monitor.steps import Steps
from .monitor.web import page_address
from .names import topic
from .protocol.spec import Times
from .published import (
    ImagesDiffer,
    Published,
    RunDeserted,
    RunFinished,
    RunHopeless,
    RunTakenOver,
    TileComputed,
    TileDiverged,
    WorkerFailed,
    as_worker,
    published,
)
from .transport.connect import workers_of
from .transport.connection import Connection, go_on, hush, lost, reached
from .transport.witness import Witness

SHOWN = 10
"""Workers that an error names."""
MEMORY_HINT = "give each worker more memory, or take more workers: lnetc explain says what each holds"


def train_on(
    client: Client,
    run: Run,
    reporter: Reporter,
    stop: Stop,
    samples: Dataset,
    array: Path | None,
    resumed: bool,
    data: DataFound,
    validation: Dataset | None = None,
    validated: ValidationConfig | None = None,
    keep_changes: Callable[[], None] = lambda: None,
) -> bool:
    """Train a run on a cluster, from its newest checkpoint if it is resumed; return whether it is complete.

    `keep_changes` is done once its processes can go on.

    `samples` are the images as this process sees them, `array` where they are kept if they were given as one; so are
    `validation` those that it is `validated` on.
    Raises `LnetError` for workers that cannot take part, and for what fails on them.
    """
    hush()
    config = _config(client, run, array)
    check_processes(client, config)
    with reached(run):
        await_predecessor(client, run, reporter.said, lambda: stop.asked)
    if stop.asked:
        return False
    owner = own(run.directory, config.run)
    run.checkpoints.clean()
    run.best_parameters.clean()
    config = replace(config, origin=_origin(run, reporter))
    if validated is not None:
        config = replace(config, validation=_validation(run, config.begun_at, validated))
    check_origin(client, config)
    keep_changes()
    run.plan.save(run.directory / "plan.json")
    following = _Following(run, config, reporter, samples, validation)
    stop.awaits = following.awaited
    log = EventLog(run.directory / "events.jsonl", reporter.said, owner)
    try:
        following.begin(EventRecorder(log, reporter), client, resumed, data)
        connection = Connection(client, run, config)
        with _published(client, config) as events, _roles(connection, reporter.said):
            page = page_address(client, config)
            if page is not None:
                reporter.said(f"to watch it: {page}")
            following.follow(events, stop, connection)
    except KeyboardInterrupt:
        log.add(RunInterrupted(following.step))
        raise
    finally:
        following.keep_checksums()
        reporter.finished()
        log.close()
    return following.complete


def check_cluster(
    client: Client, plan: Plan, directory: Path, base: Path, plugins: tuple[Plugin, ...]
) -> None:
    """Raise `LnetError` unless a cluster could train a plan: its processes' versions, files, plug-ins and descriptors."""
    hush()
    workers = len(_workers(client))
    capacity = len(plan.placement.tiles) * plan.partition.count
    paths = str(directory.resolve()), str(base)
    config = RunConfig(
        new_token(),
        plan.to_json(),
        *paths,
        None,
        workers,
        capacity,
        versions=versions(),
        plugins=plugins,
        shared=_shares(plan, workers),
    )
    check_processes(client, config)


def _workers(client: Client) -> dict[str, Any]:
    """Return the scheduler's record of each worker; raises `LnetError` without any."""
    workers = workers_of(client)
    if not workers:
        raise lost("E760", "the cluster has no workers", hint="start some: dask worker ADDRESS")
    return workers


def _origin(run: Run, reporter: Reporter) -> tuple[int, str] | None:
    """Return the path of the newest whole checkpoint, and a number for it after which those to come are numbered.

    It is its own, unless others that were passed over have a higher one.
    """
    newest = run.to_go_on_from(run.checkpoints.newest_path, reporter.said)
    if newest is None:
        return None
    highest = max(map(number_of, run.checkpoints.in_order()))
    return (highest if number_of(newest) == highest else highest + 1), str(newest.resolve())


def _validation(run: Run, begun_at: int, known: ValidationConfig) -> ValidationConfig:
    """Return what a run that goes on after so many steps of all replicas is validated on; raises `LnetError`."""
    done = begun_at // len(run.plan.placement.tiles)
    step = max((step for step in validated_steps(run) if step <= done), default=0)
    folder = run.best_parameters
    return replace(
        known, step=step, best=folder.score(), newest=max(map(number_of, folder.in_order()), default=0)
    )


def _config(client: Client, run: Run, array: Path | None) -> RunConfig:
    """Return the run's configuration, without its origin."""
    workers = _workers(client)
    hosts = {details["host"] for details in workers.values()}
    return RunConfig(
        new_token(),
        run.plan.to_json(),
        str(run.directory.resolve()),
        run.info["data"]["base"],
        None if array is None else str(array.resolve()),
        workers=len(workers),
        capacity=len(run.plan.placement.tiles) * run.plan.partition.count,
        durability="standby" if len(hosts) > 1 else "single",
        versions=versions(),
        times=Times.for_workers(len(workers)),
        wire=run.info.get("wire", FLOAT32),
        kept=run.kept,
        expected=expected(run),
        prepared=is_prepared(run.info["data"]),
        plugins=run.plugins,
        shared=_shares(run.plan, len(workers)),
    )


def _shares(plan: Plan, workers: int) -> bool:
    """Return whether groups of tiles decode images together, on so many workers."""
    here = min(processes_of(plan.placement), -(-workers // len(plan.placement.tiles)))
    return decoding(plan.graph, plan.partition, here).shared


@contextmanager
def _published(client: Client, config: RunConfig) -> Iterator[queue.Queue[Published]]:
    """Give the events of a run as they are published; the scheduler refuses and counts what is not one."""
    events: queue.Queue[Published] = queue.Queue()

    def take(stamped: tuple[float, object]) -> None:
        with suppress(Malformed):
            found = published(stamped[1])
            if found is not None:
                events.put(found)

    client.subscribe_topic(topic(config.run), take)
    try:
        yield events
    finally:
        if client.status == "running":
            client.unsubscribe_topic(topic(config.run))


@contextmanager
def _roles(connection: Connection, told: Callable[[str], None]) -> Iterator[None]:
    """Put the coordinator on the scheduler and a plugin for roles on every worker, those that join later too.

    If whoever follows the run is in a hurry, they save what there is and take themselves off.
    """
    client, config = connection.client, connection.config
    hurried = False
    coordinator, witness, entrance = (
        CoordinatorPlugin(config, client.id),
        Witness(config.run),
        Entrance(config),
    )
    with reached(connection.run):
        client.register_plugin(coordinator, name=coordinator.name)
    try:
        with reached(connection.run):
            connection.watch(witness, told)
            client.register_plugin(entrance, name=entrance.name)
        yield
    except KeyboardInterrupt:
        hurried = True
        raise
    finally:
        if connection.lost or hurried:
            connection.abandon()
        else:
            connection.release("unregister_worker_plugin", entrance.name)
            connection.release("unregister_nanny_plugin", witness.name)
            connection.leave()


@dataclass
class _Following:
    """Turns what processes publish into the run's log and its progress."""

    run: Run
    config: RunConfig
    reporter: Reporter
    samples: Dataset
    validation: Dataset | None = None
    complete: bool = False
    began: float = field(default_factory=time.monotonic)
    left_out: list[str] = field(default_factory=list)
    begun: bool = False
    warned: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.steps = Steps(self.config, self.config.begun_at)
        self.seen = SeenImages(self.samples)

    @property
    def step(self) -> int:
        """Steps of the run: each is one of every replica."""
        return self.steps.done // self.config.spec.replicas

    def begin(self, log: EventRecorder, client: Client, resumed: bool, data: DataFound) -> None:
        """Log how the run begins."""
        self.log = log
        training = self.run.plan.graph.training
        if resumed:
            log.add(Resumed(self.step, self.config.torn))
        else:
            info = self.run.info
            log.add(Started(steps=training.steps, images=info["data"]["images"], **info))
        log.add(data)
        self.reporter.said(data.message)
        begun = ClusterBegun(
            scheduler=client.scheduler_info(n_workers=0)["address"],
            workers=self.config.workers,
            replicas=self.config.spec.replicas,
            tiles=str(self.run.plan.partition.tiles),
            durability=self.config.durability,
            wire=self.config.wire,
        )
        log.add(begun)
        if self.validation is not None:
            self.reporter.said(validation_text(self.validation, training))
        for note in unused_anywhere(self.run.plan, self.samples, self.validation):
            self._log(Warned(note))
        self.reporter.started(self.steps.done, self.config.spec.batches)

    def awaited(self) -> str | None:
        """Return the checkpoint that a stop waits for; None without a step to save."""
        return "a checkpoint" if self.steps.done > self.config.begun_at else None

    def follow(self, events: queue.Queue[Published], stop: Stop, connection: Connection) -> None:
        """Take events until the run has ended; ask for its end when it is to stop.

        Raises `LnetError` if the cluster is lost, or something fails on it that ends the run.
        """
        asked = False
        while True:
            if stop.asked and not asked:
                asked = True
                connection.control("stop")
            try:
                event = events.get(timeout=0.2)
            except queue.Empty:
                self._check(connection)
                continue
            connection.hear()
            if self._take(event):
                return

    def _check(self, connection: Connection) -> None:
        try:
            connection.check()
        except LnetError as error:
            self.log.add(Failed(self.step, error.diagnostics[0].message))
            raise

    def _take(self, found: Published) -> bool:
        """Log an event; return whether it was the last."""
        event = found.event
        self.log.heard(event)
        match event:
            case TileComputed():
                self._tile(event, found.place)
            case RunFinished():
                self._finished(event)
                return True
            case LeftOut():
                self._leave_out(event, found)
            case Warned() if event.message in self.warned:
                pass  # several replicas met it
            case LogEvent():
                self._log(event)
            case _:
                self._check_end(event, found.place)
        return False

    def _log(self, event: LogEvent) -> None:
        self.log.add(event)
        match event:
            case Warned():
                self.warned.add(event.message)
            case Validated():
                self.reporter.said(validation(event))
            case CheckpointWritten():
                self.keep_checksums()
            case RolledBack():
                self.steps.go_back(event.step)
        if event.text is not None:
            self.reporter.said(event.text)

    def _check_end(self, event: Event, place: str) -> None:
        """Raise the `LnetError` that an event ends the run with, if it does."""
        match event:
            case ImagesDiffer():
                raise self._ended(self.seen.explain(event, place, self.run.plan.graph.training))
            case WorkerFailed():
                self.log.add(
                    Failed(
                        self.step,
                        event.message,
                        code=event.code,
                        notes=event.notes,
                        kind=event.kind,
                        worker=as_worker(place),
                    )
                )
                raise self._failed(event, place)
            case TileDiverged():
                where = f"step {event.step:,} of replica {event.replica}, tile {event.tile}"
                raise self._ended(explain_divergence(self.run.plan, where, event.objectives, event.gradients))
            case RunTakenOver():
                raise TakenOver(self.run.directory, event.by)
            case RunDeserted():
                self.log.add(Failed(self.step, event.message, lost=event.lost))
                notes = [*self.left_out, *event.lost]
                error = refused if self.left_out else lost
                raise error("E761", event.message, *notes[:SHOWN], hint=go_on(self.run))
            case RunHopeless():
                raise self._ended(self._hopeless(event))

    def _failed(self, event: WorkerFailed, place: str) -> LnetError:
        code = event.code if event.code is not None and event.code.startswith("E73") else "E762"
        return refused(code, f"a worker failed: {event.message}", *(event.notes or ()), f"it was '{place}'")

    def _hopeless(self, event: RunHopeless) -> LnetError:
        message = (
            f"workers end again and again, and no step is finished: "
            f"{event.processes:,} processes in {event.seconds:,} seconds"
        )
        if event.rollbacks:
            message += f"; {event.rollbacks:,} times all steps since the last checkpoint were lost"
        lost, more = event.lost[:SHOWN], len(event.lost) - SHOWN
        notes = [*lost, *([f"and {more:,} more workers"] if more > 0 else [])]
        hint = MEMORY_HINT if event.memory else "find out why they end: what they print says more"
        return refused("E764", message, *notes, hint=f"{hint}; then {go_on(self.run)}")

    def _ended(self, error: LnetError) -> LnetError:
        self.log.add(Failed(self.step, str(error)))
        return error

    def _leave_out(self, event: LeftOut, found: Published) -> None:
        """Say which worker does not take part; raises `LnetError` if it is missing from the beginning."""
        self.log.add(event)
        if event.versions is not None:
            self.left_out.append(f"{found.address} has other versions: {event.versions}")
            return
        name = f"{found.place} ({found.address})"
        reasons = [event.text or "", *(event.notes or ())]
        if self.begun:
            self.left_out.append(f"{name} is left out: {'; '.join(reasons)}")
            self.reporter.said(self.left_out[-1])
            return
        hint = "put the images where all machines see the same under the same path"
        raise self._ended(refused("E761", f"{name} cannot open the images of the run", *reasons, hint=hint))

    def keep_checksums(self) -> None:
        """Keep what is known of the bytes of images; if the disk has no room, say so."""
        try:
            checksums.keep(self.run.directory, self.samples.checksums.take_fresh())
        except OSError as error:
            self.reporter.said(f"checksums of images could not be kept: {error}")

    def _tile(self, tile: TileComputed, place: str) -> None:
        self.begun = True
        differs = self.seen.take(tile, place)
        if differs is not None:
            raise self._ended(differs)
        step = self.steps.take(tile)
        if step is None:
            return
        self.log.add(step)
        elapsed = max(time.monotonic() - self.began, 1e-9)
        images = (step.step - self.config.begun_at) * self.run.plan.graph.training.images
        self.reporter.stepped(step.step, {**step.objectives, **step.accuracies}, images / elapsed)

    def _finished(self, event: RunFinished) -> None:
        step = self.run.plan.graph.training.steps if event.complete else self.step
        self.log.add_ages()
        if not event.written:
            self.log.add(Failed(step, "the last checkpoint could not be written"))
            raise not_saved(self.run, step)
        self.complete = event.complete
        self.log.add(Completed(step) if self.complete else RunInterrupted(step))
