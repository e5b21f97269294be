"""Train a plan on the workers of a Dask cluster: bring up the roles, follow the events, take them down again."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distributed import Client

from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.data import Dataset, checksums
from lnet.runtime.data.in_memory import is_prepared
from lnet.runtime.engine.rounding import FLOAT32
from lnet.runtime.process.progress import Reporter
from lnet.runtime.process.stopping import Stop
from lnet.runtime.store.events import EventLog
from lnet.runtime.store.owner import TakenOver, new_token, own
from lnet.runtime.store.run import Run
from lnet.runtime.store.shards import number_of
from lnet.runtime.training.failure import explain_divergence
from lnet.runtime.training.provenance import expected

from .actors.coordinator_plugin import CoordinatorPlugin
from .actors.entrance import Entrance
from .actors.predecessor import await_predecessor
from .actors.seen import SeenImages
from .check import check_origin, check_processes
from .config import RunConfig, versions
from .monitor.recorder import EventRecorder
from .monitor.steps import Steps
from .monitor.web import page_address
from .names import topic
from .protocol.spec import Times
from .transport.connect import workers_of
from .transport.connection import Connection, go_on, hush, lost, reached
from .transport.witness import Witness

Event = dict[str, Any]

TIMES = Times(heartbeat_interval=0.5, failure_timeout=6.0, lease=4.0, retry=3.0, grace_period=20.0)
"""A process of Python can stand still for seconds: while it imports, while it compiles, on a machine that swaps."""


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
    data: Event,
) -> bool:
    """Train a run on a cluster, from its newest checkpoint if it is resumed; return whether it is complete.

    `samples` are the images as this process sees them, `array` where they are kept if they were given as one.
    Raises `LnetError` for workers that cannot take part, and for what fails on them.
    """
    hush()
    config = _config(client, run, array)
    check_processes(client, config)
    with reached(run):
        await_predecessor(client, run, reporter.said, lambda: stop.asked)
    if stop.asked:
        return False
    own(run.directory, config.run)
    run.checkpoints.clean()
    config = replace(config, origin=_origin(run, reporter))
    check_origin(client, config)
    run.plan.save(run.directory / "plan.json")
    following = _Following(run, config, reporter, samples)
    stop.awaits = following.awaited
    log = EventLog(run.directory / "events.jsonl", reporter.said)
    try:
        following.begin(EventRecorder(log, reporter), client, resumed, data)
        connection = Connection(client, run, config)
        with _published(client, config) as events, _roles(connection, reporter.said):
            page = page_address(client, config)
            if page is not None:
                reporter.said(f"to watch it: {page}")
            following.follow(events, stop, connection)
    except KeyboardInterrupt:
        log.add("interrupted", step=following.step)
        raise
    finally:
        following.keep_checksums()
        reporter.finished()
        log.close()
    return following.complete


def _origin(run: Run, reporter: Reporter) -> tuple[int, str] | None:
    """Return the path of the newest whole checkpoint, and a number for it after which those to come are numbered.

    It is its own, unless others that were passed over have a higher one.
    """
    newest = run.to_go_on_from(run.checkpoints.newest_path, reporter.said)
    if newest is None:
        return None
    highest = max(map(number_of, run.checkpoints.in_order()))
    return (highest if number_of(newest) == highest else highest + 1), str(newest.resolve())


def _config(client: Client, run: Run, array: Path | None) -> RunConfig:
    """Return the run's configuration, without its origin."""
    workers = workers_of(client)
    if not workers:
        raise lost("E760", "the cluster has no workers", hint="start some: dask worker ADDRESS")
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
        times=TIMES,
        wire=run.info.get("wire", FLOAT32),
        kept=run.kept,
        expected=expected(run),
        prepared=is_prepared(run.info["data"]),
        plugins=run.plan.plugins,
    )


@contextmanager
def _published(client: Client, config: RunConfig) -> Iterator[queue.Queue[Event]]:
    """Give the events of a run as they are published."""
    events: queue.Queue[Event] = queue.Queue()
    client.subscribe_topic(topic(config.run), lambda stamped: events.put(stamped[1]))
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

    def begin(self, log: EventRecorder, client: Client, resumed: bool, data: Event) -> None:
        """Log how the run begins."""
        self.log = log
        training = self.run.plan.graph.training
        if resumed:
            log.add("resume", step=self.step, torn=self.config.torn)
        else:
            log.add("start", steps=training.steps, images=self.run.info["data"]["images"], **self.run.info)
        log.add("data", **data)
        self.reporter.said(data["message"])
        log.add(
            "cluster",
            scheduler=client.scheduler_info(n_workers=0)["address"],
            workers=self.config.workers,
            replicas=self.config.spec.replicas,
            tiles=str(self.run.plan.partition.tiles),
            durability=self.config.durability,
            wire=self.config.wire,
        )
        self.reporter.started(self.steps.done, self.config.spec.batches)

    def awaited(self) -> str | None:
        """Return the checkpoint that a stop waits for; None without a step to save."""
        return "a checkpoint" if self.steps.done > self.config.begun_at else None

    def follow(self, events: queue.Queue[Event], stop: Stop, connection: Connection) -> None:
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
            self.log.add("failed", step=self.step, message=error.diagnostics[0].message)
            raise

    def _take(self, event: Event) -> bool:
        """Log an event; return whether it was the last."""
        self.log.heard(event)
        details = {key: value for key, value in event.items() if key != "event"}
        match event["event"]:
            case "tile":
                self._tile(event)
            case "update" | "opening":
                pass
            case "other images":
                raise self._ended(self.seen.explain(event, self.run.plan.graph.training.batch))
            case "left out":
                self._leave_out(event, details)
            case "finished":
                self._finished(details)
                return True
            case "failure":
                self.log.add("failed", step=self.step, **details)
                code = details.get("code", "E762")
                raise refused(
                    code if code.startswith("E73") else "E762",
                    f"a worker failed: {details['message']}",
                    *details.get("notes", ()),
                    f"it was '{details['place']}'",
                )
            case "diverged":
                diverged = explain_divergence(self.run.plan, event)
                self.log.add("failed", step=self.step, message=str(diverged))
                raise diverged
            case "taken over":
                raise TakenOver(self.run.directory, details["by"])
            case "deserted":
                self.log.add("failed", step=self.step, **details)
                notes = [*self.left_out, *details["lost"]]
                error = refused if self.left_out else lost
                raise error("E761", details["message"], *notes[:SHOWN], hint=go_on(self.run))
            case "hopeless":
                hopeless = self._hopeless(details)
                self.log.add("failed", step=self.step, message=str(hopeless))
                raise hopeless
            case "warning" if details["message"] in self.warned:
                pass  # several replicas met it
            case kind:
                self.log.add(kind, **details)
                self.warned.update([details["message"]] if kind == "warning" else [])
                if kind == "checkpoint":
                    self.keep_checksums()
                if kind == "rollback":
                    self.steps.go_back(details["step"])
                if "message" in details:
                    self.reporter.said(details["message"])
        return False

    def _hopeless(self, details: Event) -> LnetError:
        message = (
            f"workers end again and again, and no step is finished: "
            f"{details['processes']:,} processes in {details['seconds']:,} seconds"
        )
        if details["rollbacks"]:
            message += f"; {details['rollbacks']:,} times all steps since the last checkpoint were lost"
        lost, more = details["lost"][:SHOWN], len(details["lost"]) - SHOWN
        notes = [*lost, *([f"and {more:,} more workers"] if more > 0 else [])]
        hint = MEMORY_HINT if details["memory"] else "find out why they end: what they print says more"
        return refused("E764", message, *notes, hint=f"{hint}; then {go_on(self.run)}")

    def _ended(self, error: LnetError) -> LnetError:
        self.log.add("failed", step=self.step, message=str(error))
        return error

    def _leave_out(self, event: Event, details: Event) -> None:
        """Say which worker does not take part; raises `LnetError` if it is missing from the beginning."""
        self.log.add("left out", **details)
        if "versions" in details:
            self.left_out.append(f"{details['worker']} has other versions: {details['versions']}")
            return
        name = f"{details['place']} ({details['worker']})"
        reasons = [details["message"], *details["notes"]]
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

    def _tile(self, event: Event) -> None:
        self.begun = True
        differs = self.seen.take(event)
        if differs is not None:
            raise self._ended(differs)
        step = self.steps.take(event)
        if step is None:
            return
        self.log.add(**step)
        elapsed = max(time.monotonic() - self.began, 1e-9)
        images = (step["step"] - self.config.begun_at) * self.run.plan.graph.training.batch
        self.reporter.stepped(step["step"], step["objectives"] | step["accuracies"], images / elapsed)

    def _finished(self, details: Event) -> None:
        step = self.run.plan.graph.training.steps if details["complete"] else self.step
        self.log.add_ages()
        if not details["written"]:
            self.log.add("failed", step=step, message="the last checkpoint could not be written")
            raise refused("E731", f"the last checkpoint, at step {step:,}, could not be written")
        self.complete = details["complete"]
        self.log.add("done" if self.complete else "interrupted", step=step)
