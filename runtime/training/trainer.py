"""Training in one process: a jitted step over batches that are decoded in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.graph.graph import Graph
from lnet.compiler.plan.plan import Plan
from lnet.runtime.data import Batch, Dataset, checksums, feed, skipped
from lnet.runtime.engine import running, scaling
from lnet.runtime.engine.clipping import clipped_alone
from lnet.runtime.engine.evaluate import Done, Targets, as_targets, batch_last, observed_loss
from lnet.runtime.engine.updates import Rule, named_state
from lnet.runtime.kernels.choose import Choices, made
from lnet.runtime.kernels.devices import ONE, Devices
from lnet.runtime.kernels.mode import sample_numbers
from lnet.runtime.process.stopping import Interrupted, Stop
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.events import (
    CheckpointWritten,
    Completed,
    DataFound,
    Failed,
    Resumed,
    RunInterrupted,
    RunPruned,
    Started,
    StepDone,
    Validated,
    Warned,
)
from lnet.runtime.store.log import EventLog
from lnet.runtime.store.owner import EVERY, Owner
from lnet.runtime.store.run import Run, not_saved

from .failure import explain_failure
from .losses import losses
from .progress import Pruned, Reporter, validation
from .tune import choices_from
from .unused import unused_anywhere, unused_in_one_process
from .validation import Validation, Validator, validated_steps, validation_text

Params = dict[str, jax.Array]


Sums = tuple[Params, dict[str, jax.Array], jax.Array]
"""Of some batches: the sums of gradients, of the terms of the loss and accuracies, and of the loss."""
Step = Callable[..., tuple[Params, Any, dict[str, jax.Array], jax.Array]]


def training_step(
    graph: Graph, rule: Rule, choices: Choices = MappingProxyType({}), devices: Devices = ONE
) -> Step:
    """Return the jitted step: parameters, state, images `[row, column, channel, batch]`, labels, targets -> the next ones.

    Beside the targets come the numbers of the samples (`sample_numbers`) and of the steps done, and with `accumulate`, of
    which the images are the last batch of a step, the sums over the batches before. It also returns the terms of the loss
    with the accuracies, and whether they and all gradients are finite: if not, parameters and state stay as they were. Where
    the loss is scaled, gradients need not be: their update is left out. The arrays of parameters and state are donated: the
    caller must not use them again.
    """
    sums, count = _sums(graph, choices, devices), graph.training.accumulate
    moving = running.momenta(graph)

    def step(
        params: Params,
        state: Any,
        images: jax.Array,
        labels: jax.Array | None,
        targets: Targets | None,
        samples: jax.Array,
        done: Done = 0,
        before: Sums | None = None,
    ) -> Any:
        scale = scaling.scale_of(state)
        gradients, terms, total = sums(params, before, images, labels, targets, samples, done, scale=scale)
        if count > 1:
            gradients = running.averaged(moving, gradients, count)
            terms, total = jax.tree.map(lambda value: value / count, (terms, total))
        gradients = clipped_alone(graph, gradients)
        finite = jnp.isfinite(total) & jnp.isfinite(sum(jnp.sum(g) for g in gradients.values()))
        # A branch, not a choice between the arrays before and after: that would need copies of those before.
        fine = finite if scale is None else finite | (jnp.isfinite(total) & (scale > scaling.LEAST))
        params, state = lax.cond(
            finite,
            lambda: rule.updated(params, state, gradients),
            lambda: (params, scaling.left_out(state)),
        )
        return params, state, terms, fine

    return jax.jit(step, donate_argnums=(0, 1))


def batch_sums(
    graph: Graph, choices: Choices = MappingProxyType({}), devices: Devices = ONE
) -> Callable[..., Sums]:
    """Return a jitted function of parameters, sums over the batches before (None: none) and a batch: the next sums.

    The arrays of the sums are donated. `scale`: of the loss whose gradients are taken; the sums are not scaled.
    """
    return jax.jit(_sums(graph, choices, devices), donate_argnums=1)


def _sums(graph: Graph, choices: Choices, devices: Devices) -> Callable[..., Sums]:
    moving = running.momenta(graph)

    def loss(params: Params, scale: jax.Array | None, *batch: Any) -> Any:
        total, beside = observed_loss(graph, params, *batch)
        return total if scale is None else scale * total, (total, *beside)

    def sums(params: Params, before: Sums | None, *batch: Any, scale: jax.Array | None = None) -> Sums:
        with made(choices), devices.computing():
            differentiate = jax.grad(loss, has_aux=True)
            gradients, (total, terms, observed) = differentiate(params, scale, *batch)
        if scale is not None:
            gradients = {name: gradient / scale for name, gradient in gradients.items()}
        update = running.of_batch(moving, gradients | observed)
        if before is not None:
            update = running.added(moving, before[0], update)
            terms, total = jax.tree.map(jnp.add, before[1:], (terms, total))
        return devices.kept_everywhere((update, terms, total))

    return sums


def data_found(samples: Dataset, plan: Plan, replicas: int = 1) -> DataFound:
    """Return the event about the images of a run."""
    found = samples.contents
    return DataFound(
        found.sentence(plan, replicas), found.path, dict(found.sources), dict(found.ignored), found.excluded
    )


@dataclass
class Trainer:
    """A run under way, with what it is validated on; `stop` is the request to end early."""

    run: Run
    owner: Owner
    samples: Dataset
    validation: Dataset | None
    reporter: Reporter
    rule: Rule
    step: int
    params: Params
    state: Any
    stop: Stop
    devices: Devices = ONE
    checked: float = field(default_factory=time.monotonic)
    slowest: float = 0.0

    def __post_init__(self) -> None:
        self.params, self.state = self.devices.everywhere((self.params, self.state))
        self.saved, self.left_out = self.step, scaling.count(self.state)
        self.stop.awaits = self._awaited
        self.unvalidated = False

    def _awaited(self) -> str | None:
        """Return the description of the checkpoint that a stop waits for; None without a new step to save."""
        if self.step == self.saved:
            return None
        return f"a checkpoint of step {self.step:,} or the one under way"

    def go(self, resumed: bool, torn: int = 0) -> None:
        training = self.run.plan.graph.training
        self.log = EventLog(self.run.directory / "events.jsonl", self.reporter.said, self.owner)
        try:
            self._begin(resumed, torn)
            first, last = self.step * training.accumulate, training.steps * training.accumulate
            decoded = feed(self.samples, first, last, training.batch, lambda: self.stop.asked, training.ahead)
            with decoded as batches:
                self._loop(batches)
                self._finish()
        except KeyboardInterrupt:
            self.log.add(RunInterrupted(self.step))
            raise
        except Pruned as why:
            if self.saved != self.step:
                self._checkpoint()
            self.log.add(RunPruned(self.step, str(why)))
            raise
        finally:
            self.reporter.finished()
            self.log.close()

    def _begin(self, resumed: bool, torn: int) -> None:
        training = self.run.plan.graph.training
        if resumed:
            self.log.add(Resumed(self.step, torn))
        else:
            self.log.add(Started(steps=training.steps, images=self.samples.count, **self.run.info))
        data = data_found(self.samples, self.run.plan)
        self.log.add(data)
        self.reporter.said(data.message)
        if self.devices.count > 1:
            self.reporter.said(self.devices.text(training.batch_rows))
        for note in unused_in_one_process(self.run.plan, self.run.info.get("wire")):
            self._warn(note)
        if self.validation is not None:
            self.reporter.said(validation_text(self.validation, training))
        for note in unused_anywhere(self.run.plan, self.samples, self.validation):
            self._warn(note)
        if self.step >= training.steps:
            self._warn(f"the run is complete: {self.step:,} of {training.steps:,} steps")
        self.reporter.started(self.step, training.steps)

    def _loop(self, batches: Iterator[Batch]) -> None:
        graph = self.run.plan.graph
        choices = choices_from(graph, self.run.info.get("kernels", {}), self.devices.count)
        step = training_step(graph, self.rule, choices, self.devices)
        sums = batch_sums(graph, choices, self.devices)
        training, known_bad = graph.training, 0
        validating = self._validation(choices)
        self._validate(validating, again=False)
        while not self.stop.asked:
            began, waited, before = time.perf_counter(), 0.0, None
            for number in range(training.accumulate):
                asked = time.perf_counter()
                batch = next(batches, None)
                if batch is None:
                    return
                waited += time.perf_counter() - asked
                taken = (*self._taken(batch, number), jnp.asarray(self.step))
                if number + 1 < training.accumulate:
                    before = sums(self.params, before, *taken, scale=scaling.scale_of(self.state))
            self.params, self.state, terms, finite = step(self.params, self.state, *taken, before)
            if not finite:
                self._fail({path: float(value) for path, value in terms.items()})
            self.step += 1
            self._note_left_out()
            self._record(terms, time.perf_counter() - began, waited)
            if len(self.samples.skipped) > known_bad:
                known_bad = self._report_skipped(known_bad)
            # Before a checkpoint, so that a run goes on from none that lacks its validation.
            self._validate(validating)
            if self.step % training.checkpoint == 0:
                self._checkpoint()
            self._check_owner()

    def _taken(self, batch: Batch, number: int) -> tuple[Any, ...]:
        """Return images, labels, targets and numbers of a batch of the next step, where they are computed with."""
        divided = self.devices.divided
        labels = None if batch.labels is None else jnp.asarray(divided(batch.labels))
        images, targets = divided((batch.images, dict(batch.targets)))
        samples = self.devices.divided(self._samples(number), 1)
        return batch_last(jnp.asarray(images)), labels, as_targets(targets), samples

    def _validation(self, choices: Choices) -> Validation | None:
        graph = self.run.plan.graph.validated
        if graph is None or self.validation is None:
            return None
        validator = Validator(graph, self.validation, choices, lambda: self.stop.asked)
        return Validation(self.run, self.owner, validator, self._warn, self._validated)

    def _validate(self, validating: Validation | None, again: bool = True) -> None:
        """Validate the parameters if it is time; not `again` what the log has of this step."""
        training = self.run.plan.graph.training
        if validating is None or not training.validates_at(self.step):
            return
        if again or self.step not in validated_steps(self.run):
            self.unvalidated = not validating.validate(self.step, self.devices.of_one(self.params))

    def _validated(self, event: Validated) -> None:
        self.log.add(event)
        self.reporter.happened(event)
        self.reporter.said(validation(event))

    def _samples(self, number: int) -> jax.Array:
        """Return the numbers of the samples of a batch of the next step."""
        training = self.run.plan.graph.training
        first = self.step * training.step_rows + number * training.batch_rows
        return jnp.asarray(sample_numbers(first, training.batch_rows))

    def _record(self, terms: Mapping[str, jax.Array], seconds: float, waited: float) -> None:
        found = losses(self.run.plan.graph, {path: float(value) for path, value in terms.items()})
        training = self.run.plan.graph.training
        self.log.add(
            StepDone(
                step=self.step,
                images=training.seen(self.step),
                loss=found.loss,
                terms=found.terms,
                objectives=found.objectives,
                accuracies=found.accuracies,
                seconds=round(seconds, 6),
                waited=round(waited, 6),
            )
        )
        self.reporter.stepped(self.step, found.shown, training.images / seconds)

    def _note_left_out(self) -> None:
        """Say that the update of the step that is done was left out, if it was."""
        count, scale = scaling.count(self.state), scaling.scale_of(self.state)
        if scale is not None and count > self.left_out:
            self._warn(
                f"step {self.step:,}: a gradient is not finite in float16, and its update is left out ({count:,} so far); "
                f"the loss is scaled by {float(scale):,.0f} from here on"
            )
        self.left_out = count

    def _report_skipped(self, known: int) -> int:
        found = list(self.samples.skipped.items())
        for name, reason in found[known:]:
            self._warn(skipped(name, reason))
        return len(found)

    def _finish(self) -> None:
        failure = self._checkpoint() if self.saved != self.step else None
        if failure is not None:
            self.log.add(Failed(self.step, str(failure)))
            raise not_saved(self.run, self.step, str(failure))
        if self.step < self.run.plan.graph.training.steps or self.unvalidated:
            self.log.add(RunInterrupted(self.step))
            raise Interrupted(self.run.directory, self.run.checkpoints.files(), saved=True)
        self.log.add(Completed(self.step))

    def _check_owner(self) -> None:
        """Raise `TakenOver` if another process trains this run by now; independent of checkpoints."""
        if time.monotonic() - self.checked < EVERY:
            return
        with suppress(OSError):  # the next check asks again
            self.owner.check()
        self.checked = time.monotonic()

    def _checkpoint(self) -> OSError | None:
        """Write a checkpoint; report a failure to write it, and go on training."""
        checkpoint = Checkpoint(self.step, self.params, named_state(self.state))
        try:
            checksums.keep(self.run.directory, self.samples.checksums.take_fresh())
            began = time.monotonic()
            path = self.run.checkpoints.save(checkpoint, self.owner)
        except OSError as error:
            self._warn(f"the checkpoint at step {self.step:,} could not be written: {error}")
            return error
        self._time_checkpoint(time.monotonic() - began)
        self.saved = self.step
        self.log.add(CheckpointWritten(self.step, path.name))
        return None

    def _time_checkpoint(self, seconds: float) -> None:
        """Warn once if a checkpoint takes longer than the grace period after Ctrl-C."""
        if self.slowest <= self.stop.grace < seconds:
            self._warn(
                f"the checkpoint of step {self.step:,} took {seconds:.1f} s, and after Ctrl-C it has "
                f"{self.stop.grace:g} s: --grace {ceil(seconds)}"
            )
        self.slowest = max(self.slowest, seconds)

    def _fail(self, terms: Mapping[str, float]) -> None:
        """Save the last finite parameters and raise the error that locates the first value that is not finite."""
        self._checkpoint()
        training = self.run.plan.graph.training
        first = training.seen(self.step)
        batches = (
            (self.samples.batch(first + number * training.batch, training.batch), self._samples(number))
            for number in range(training.accumulate)
        )
        error = explain_failure(self.run.plan, self.params, batches, self.step + 1, terms)
        self.log.add(Failed(self.step, str(error)))
        raise error

    def _warn(self, message: str) -> None:
        self.log.add(Warned(message))
        self.reporter.said(message)
