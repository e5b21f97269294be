"""Training in one process: a jitted step over batches that are decoded in the background."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from lnet.compiler.graph import Graph
from lnet.compiler.plan import Plan

from .checkpoint import Checkpoint
from .cluster.rounding import FLOAT32, WIRES
from .data import Batch, Dataset, check_classes, feed, open_frames
from .data.arrays import ArrayDataset
from .evaluate import batch_last, total_loss
from .events import EventLog, losses
from .failure import explain_failure
from .kernels.choose import Choices, made
from .network import initial_params
from .progress import Reporter, Silent
from .run import Run, create_run, locked, next_directory, open_run, refused
from .start import frozen, start_from
from .tune import choices_data, choices_from, kept
from .updates import named_state, state_from_names, update_rule, updated

if TYPE_CHECKING:
    from distributed import Client

Params = dict[str, jax.Array]
Images = str | os.PathLike[str] | np.ndarray[Any, Any] | None
Samples = Dataset | ArrayDataset


class Interrupted(Exception):
    """Training was stopped from outside, after a checkpoint."""

    def __init__(self, directory: Path, step: int) -> None:
        super().__init__(f"stopped at step {step:,}; go on with: lnetc resume {directory}")
        self.directory, self.step = directory, step


def train(
    plan: Plan,
    data: Images = None,
    steps: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
    client: Client | None = None,
    start: str | os.PathLike[str] | None = None,
    freeze: Sequence[str] = (),
    wire: str = FLOAT32,
) -> Run:
    """Train a plan from its initial weights, in this process or on the cluster of `client`, and return the run.

    `data`: a path in place of that of `frames(...)`, or images `[n, rows, columns, channels]`; `directory`: where
    the run is kept (default `runs/NAME-1`, `-2`, ...). `start`: a run whose parameters it begins with, matched by name;
    `freeze`: layers and stages whose parameters stay; `wire`: "bfloat16" halves what a cluster's replicas fetch and
    push, rounded to within 2^-8 of each value. Raises `LnetError` for what is wrong with plan, data or
    directory and for a loss that is not finite, `Interrupted` on SIGINT or SIGTERM.
    """
    if wire not in WIRES:
        raise refused(
            "E751", f"parameters cannot be sent as '{wire}'", hint=f"write one of {', '.join(WIRES)}"
        )
    reporter = reporter or Silent()
    plan = frozen(_with_steps(_with_path(plan, data), steps), freeze)
    base = Path(plan.source_name).resolve().parent
    samples = _open(plan, data, base)
    rule = update_rule(plan.graph.training.update, plan.graph.training.steps)
    begin = None if start is None else start_from(Path(start), plan)
    run = create_run(
        Path(directory) if directory is not None else next_directory(plan.graph.name),
        plan,
        {
            "base": str(base),
            "images": samples.count,
            "classes": samples.classes,
            "in_memory": isinstance(data, np.ndarray),
        },
        choices_data(plan.graph, kept(plan.graph)),
        None if begin is None else Checkpoint(0, begin.params, named_state(rule.init(begin.params))),
        wire,
    )
    for note in () if begin is None else begin.notes:
        reporter.said(note)
    if client is not None:
        _train_on(client, run, reporter, data, resumed=False)
        return run
    with locked(run):
        step, params, state, _ = _restore(run, rule, reporter)
        _Trainer(run, samples, reporter, rule, step, params, state).go(resumed=False)
    return run


def resume(
    directory: str | os.PathLike[str],
    data: Images = None,
    steps: int | None = None,
    reporter: Reporter | None = None,
    client: Client | None = None,
) -> Run:
    """Go on with a run from its newest whole checkpoint, to the same weights as if it had not stopped.

    `steps` may be raised; a cosine schedule then reaches zero at the new end. `data` is needed only for a run on an
    array, or where the images have moved. Raises as `train` does.
    """
    reporter = reporter or Silent()
    run = open_run(directory)
    if steps is not None:
        run = replace(run, plan=_with_steps(run.plan, steps))
    plan = _with_path(run.plan, data)
    samples = _open(plan, data, Path(run.info["data"]["base"]))
    _check_same_data(run, samples)
    if client is not None:
        _train_on(client, run, reporter, data, resumed=True)
        return run
    with locked(run):
        if steps is not None:
            run.plan.save(run.directory / "plan.json")
        run.checkpoints.clean()
        rule = update_rule(plan.graph.training.update, plan.graph.training.steps)
        step, params, state, torn = _restore(run, rule, reporter)
        _Trainer(run, samples, reporter, rule, step, params, state).go(resumed=True, torn=torn)
    return run


def _train_on(client: Client, run: Run, reporter: Reporter, data: Images, resumed: bool) -> None:
    """Train on a cluster; images that were given as an array are put where its workers can read them."""
    from .cluster.launch import train_on

    array = run.directory / "images.npy" if isinstance(data, np.ndarray) else None
    with locked(run), stop_signals() as stopped:
        run.plan.save(run.directory / "plan.json")
        run.checkpoints.clean()
        if array is not None:
            np.save(array, np.asarray(data))
        if not train_on(client, run, reporter, stopped, array, resumed):
            raise Interrupted(run.directory, max(run.checkpoints.files(), default=0))


def _with_steps(plan: Plan, steps: int | None) -> Plan:
    if steps is None:
        return plan
    if steps < 1:
        raise refused("E746", f"the number of steps must be positive, found {steps}")
    return replace(plan, graph=replace(plan.graph, training=replace(plan.graph.training, steps=steps)))


def _with_path(plan: Plan, data: Images) -> Plan:
    training = plan.graph.training
    if data is None or isinstance(data, np.ndarray) or training.data is None:
        return plan
    frames = replace(training.data, path=str(Path(data).resolve()))
    return replace(plan, graph=replace(plan.graph, training=replace(training, data=frames)))


def _open(plan: Plan, data: Images, base: Path) -> Samples:
    training, sheet = plan.graph.training, plan.graph.input.sheet
    samples: Samples
    if isinstance(data, np.ndarray):
        samples = ArrayDataset(data, sheet, training.seed)
    elif training.data is None:
        raise refused(
            "E747", "the file names no images", hint="add 'data = frames(\"folder\")' to its 'train' block"
        )
    else:
        samples = open_frames(training.data, sheet.maps, base, training.seed)
    for objective in plan.graph.objectives:
        if objective.term.needs_labels:
            check_classes(samples, plan.graph.layer(objective.reads[0]).sheet.maps, objective.path)
    return samples


def _check_same_data(run: Run, samples: Samples) -> None:
    was = run.info["data"]
    if (was["images"], run.classes) != (samples.count, samples.classes):
        raise refused(
            "E748",
            f"the run was started on {was['images']:,} images, and now there are {samples.count:,}",
            f"its classes were {run.classes}, and now they are {samples.classes}",
            hint="give back the images that it was started on: resuming on others would not be the same run",
        )


def _restore(
    run: Run, rule: optax.GradientTransformation, reporter: Reporter
) -> tuple[int, Params, Any, int]:
    """Return step, parameters, state and torn updates of the newest whole checkpoint, or what there is at first."""
    graph = run.plan.graph
    checkpoint = run.checkpoints.newest(
        lambda path, why: reporter.said(f"passed over the damaged checkpoint '{path.name}': {why}")
    )
    if checkpoint is None:
        params = initial_params(graph, graph.training.seed)
        return 0, params, rule.init(params), 0
    expected = {p.name: p.shape for p in graph.parameters}
    found = {name: array.shape for name, array in checkpoint.params.items()}
    if expected != found:
        raise refused("E742", f"the checkpoint at step {checkpoint.step:,} is of another network")
    params = {name: jnp.array(checkpoint.params[name]) for name in expected}
    try:
        state = state_from_names(rule, params, checkpoint.update)
    except KeyError as error:
        raise refused("E742", f"the checkpoint at step {checkpoint.step:,} has no {error}") from error
    return checkpoint.step, params, state, checkpoint.torn


Step = Callable[
    [Params, Any, jax.Array, jax.Array | None], tuple[Params, Any, dict[str, jax.Array], jax.Array]
]


def training_step(
    graph: Graph, rule: optax.GradientTransformation, choices: Choices = MappingProxyType({})
) -> Step:
    """Return the jitted step: parameters, state, images `[row, column, channel, batch]`, labels -> the next ones.

    Also the terms of the loss with the accuracies, and whether they and all gradients are finite: if not, parameters
    and state stay as they were. The arrays of parameters and state that go in are used up.
    """

    def loss(params: Params, images: jax.Array, labels: jax.Array | None) -> Any:
        return total_loss(graph, params, images, labels)

    def step(params: Params, state: Any, images: jax.Array, labels: jax.Array | None) -> Any:
        value = jax.value_and_grad(loss, has_aux=True)
        with made(choices):
            (total, terms), gradients = value(params, images, labels)
        finite = jnp.isfinite(total) & jnp.isfinite(sum(jnp.sum(g) for g in gradients.values()))
        # A branch, not a choice between the arrays before and after: that would need copies of those before.
        params, state = lax.cond(
            finite, lambda: updated(rule, params, state, gradients), lambda: (params, state)
        )
        return params, state, terms, finite

    return jax.jit(step, donate_argnums=(0, 1))


@dataclass
class _Trainer:
    """A run under way."""

    run: Run
    samples: Samples
    reporter: Reporter
    rule: optax.GradientTransformation
    step: int
    params: Params
    state: Any
    saved: int = -1

    def go(self, resumed: bool, torn: int = 0) -> None:
        training = self.run.plan.graph.training
        self.log = EventLog(self.run.directory / "events.jsonl")
        try:
            self._begin(resumed, torn)
            with (
                stop_signals() as stopped,
                feed(self.samples, self.step, training.steps, training.batch) as batches,
            ):
                self._loop(batches, stopped)
            self._finish(stopped())
        finally:
            self.reporter.finished()
            self.log.close()

    def _begin(self, resumed: bool, torn: int) -> None:
        training = self.run.plan.graph.training
        if resumed:
            self.log.add("resume", step=self.step, torn=torn)
        else:
            self.log.add("start", steps=training.steps, images=self.samples.count, **self.run.info)
        if training.replicas > 1:
            self._warn(f"one process trains one replica; the file asks for {training.replicas}")
        for name in self.samples.unmatched:
            self._warn(f"'{name}' is to be excluded, but there is no such image")
        if self.step >= training.steps:
            self._warn(f"the run is complete: {self.step:,} of {training.steps:,} steps")
        self.reporter.started(self.step, training.steps)

    def _loop(self, batches: Iterator[Batch], stopped: Callable[[], bool]) -> None:
        graph = self.run.plan.graph
        step = training_step(graph, self.rule, choices_from(graph, self.run.info.get("kernels", {})))
        training = self.run.plan.graph.training
        known_bad = 0
        while not stopped():
            began = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            waited = time.perf_counter() - began
            labels = None if batch.labels is None else jnp.asarray(batch.labels)
            self.params, self.state, terms, finite = step(
                self.params, self.state, batch_last(jnp.asarray(batch.images)), labels
            )
            if not finite:
                self._fail(batch, {path: float(value) for path, value in terms.items()})
            self.step += 1
            self._record(terms, time.perf_counter() - began, waited)
            if len(self.samples.skipped) > known_bad:
                known_bad = self._report_skipped(known_bad)
            if self.step % training.checkpoint == 0:
                self._checkpoint()

    def _record(self, terms: Mapping[str, jax.Array], seconds: float, waited: float) -> None:
        found = losses(self.run.plan.graph, {path: float(value) for path, value in terms.items()})
        batch = self.run.plan.graph.training.batch
        self.log.add(
            "step",
            step=self.step,
            images=self.step * batch,
            **found,
            seconds=round(seconds, 6),
            waited=round(waited, 6),
        )
        self.reporter.stepped(self.step, found["objectives"] | found["accuracies"], batch / seconds)

    def _report_skipped(self, known: int) -> int:
        skipped = list(self.samples.skipped.items())
        for name, reason in skipped[known:]:
            self._warn(f"skipped the corrupt image '{name}': {reason}")
        return len(skipped)

    def _finish(self, stopped: bool) -> None:
        failure = self._checkpoint() if self.saved != self.step else None
        if failure is not None:
            self.log.add("failed", step=self.step, message=str(failure))
            raise refused(
                "E731", f"the last checkpoint, at step {self.step:,}, could not be written", str(failure)
            )
        if stopped and self.step < self.run.plan.graph.training.steps:
            self.log.add("interrupted", step=self.step)
            raise Interrupted(self.run.directory, self.step)
        self.log.add("done", step=self.step)

    def _checkpoint(self) -> OSError | None:
        """Write a checkpoint; one that cannot be written is reported, and training goes on."""
        checkpoint = Checkpoint(self.step, self.params, named_state(self.state))
        try:
            path = self.run.checkpoints.save(checkpoint)
        except OSError as error:
            self._warn(f"the checkpoint at step {self.step:,} could not be written: {error}")
            return error
        self.saved = self.step
        self.log.add("checkpoint", step=self.step, file=path.name)
        return None

    def _fail(self, batch: Batch, terms: Mapping[str, float]) -> None:
        """Keep the last finite parameters and say where the first value that is not finite came from."""
        self._checkpoint()
        error = explain_failure(self.run.plan, self.params, batch, self.step + 1, terms)
        self.log.add("failed", step=self.step, message=str(error))
        raise error

    def _warn(self, message: str) -> None:
        self.log.add("warning", message=message)
        self.reporter.said(message)


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into an orderly stop; the second one stops at once."""
    stopped = threading.Event()

    def stop(number: int, frame: Any) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    if threading.current_thread() is not threading.main_thread():
        yield stopped.is_set
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
