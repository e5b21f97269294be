"""The validation of a run in one process: what the objectives say of images that it is not trained on.

step 500 ---> objectives on all images, a batch at a time ---> event ---> the best so far? written to RUN/best
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from lnet.compiler.graph.graph import Graph
from lnet.compiler.plan.plan import Plan
from lnet.compiler.settings import VALIDATIONS, ArraySet, Training, ValidationArrays, ValidationFrames
from lnet.dsl.diagnostics import refused
from lnet.runtime.data import Batch, Dataset, Kept, check_labels, feed, skipped
from lnet.runtime.data.given_arrays import GivenArrays
from lnet.runtime.data.in_memory import Given, Images, path_of
from lnet.runtime.data.labels import readouts
from lnet.runtime.data.open_data import open_data
from lnet.runtime.engine.evaluate import as_targets, batch_last, total_loss
from lnet.runtime.kernels.choose import Choices, made
from lnet.runtime.store.best import Score, in_manifest
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.events import Validated
from lnet.runtime.store.owner import Owner
from lnet.runtime.store.run import Run

from .losses import losses

Params = Mapping[str, jax.Array]
VALIDATION = "validation"
"""The folder of a run's directory with what it is validated on, where that was given as arrays."""


def planned(plan: Plan, images: Images, given: Given | None) -> Plan:
    """Return a plan that validates on images in Python, `given` or at a path; None: on those that the file names.

    Raises `LnetError` for a plan that is to keep its best parameters without a validation.
    """
    training = plan.graph.training
    validation = training.validation
    if isinstance(given, GivenArrays):
        validation = ValidationArrays("", given.data.values, given.data.labels, given.data.targets)
    elif given is not None:
        framed = validation if isinstance(validation, ValidationFrames) else ValidationFrames("")
        validation = framed.at("")
    elif images is not None:
        there = str(Path(path_of(images)).resolve())
        validation = (validation or VALIDATIONS[plan.graph.data.kind]("")).at(there)
    if validation is None and training.keep_best is not None:
        raise refused(
            "E520",
            f"'keep_best = {training.keep_best}' goes by a validation, and there is none",
            hint=(
                "add 'validation = frames(\"unseen\")' to the file's 'train' block",
                "in Python: lnet.train(plan, validation=images)",
            ),
        )
    return replace(plan, graph=replace(plan.graph, training=replace(training, validation=validation)))


def open_validation(
    graph: Graph, given: Given | None, base: Path, cache_bytes: int, kept: Kept, hint: str | None = None
) -> Dataset:
    """Open what a `validated` graph is validated on; raises `LnetError`.

    `given`: in Python, else where the file says, relative to `base`; `kept`: the listing rules and the classes of training.
    """
    data = graph.data
    if isinstance(given, GivenArrays) and isinstance(data, ArraySet):
        found = replace(given, data=data).open(graph, base, kept)
    elif given is not None:
        found = given.open(graph, base, kept)
    else:
        found = open_data(data, graph, base, cache_bytes, kept=kept, hint=hint, scan=True)
    check_labels(found, readouts(graph), " of 'validation'")
    if next(found.ordered(1), None) is None:
        raise found.undecodable(found.count)
    return found


@dataclass(frozen=True)
class InOrder:
    """A data set's images in the order of their files, for `feed`."""

    samples: Dataset

    def batch(self, first: int, count: int) -> Batch | None:
        return self.samples.in_order(first, count)


def over_images(
    graph: Graph, found: Iterable[tuple[int, Mapping[str, float]]]
) -> tuple[int, dict[str, float]]:
    """Return the number of images, and means over all of them from those over batches of so many.

    Images whose label comes first are counted, so that equal accuracies are equal numbers.
    """
    objectives = {objective.path for objective in graph.objectives}
    count, sums = 0, defaultdict[str, float](float)
    for images, terms in found:
        count += images
        for path, value in terms.items():
            sums[path] += images * float(value) if path in objectives else round(images * float(value))
    return count, {path: value / count for path, value in sums.items()}


@dataclass(frozen=True)
class Validator:
    """Validates parameters of a `graph` on images; `stopped` says that the run is to end."""

    graph: Graph
    samples: Dataset
    choices: Choices
    stopped: Callable[[], bool]

    def validate(self, step: int, params: Params) -> Validated | None:
        """Return what is found after a step; None if the run is to end before all images were seen."""
        began, batch = time.perf_counter(), self.graph.training.batch
        with feed(InOrder(self.samples), 0, ceil(self.samples.count / batch), batch, self.stopped) as batches:
            found = ((len(b.images), self._terms(params, b, step)) for b in batches if b is not None)
            count, terms = over_images(self.graph, found)
        if self.stopped():
            return None
        if not count:
            raise self.samples.undecodable(self.samples.count)
        figures = losses(self.graph, terms)
        return Validated(
            step=step,
            images=count,
            loss=figures.loss,
            terms=figures.terms,
            objectives=figures.objectives,
            accuracies=figures.accuracies,
            seconds=round(time.perf_counter() - began, 6),
        )

    def _terms(self, params: Params, batch: Batch, step: int) -> Mapping[str, Any]:
        labels = None if batch.labels is None else jnp.asarray(batch.labels)
        images = batch_last(jnp.asarray(batch.images))
        return self._compiled(params, images, labels, as_targets(batch.targets), jnp.asarray(step))

    @cached_property
    def _compiled(self) -> Callable[..., Mapping[str, Any]]:
        def terms(params: Params, images: jax.Array, labels: Any, targets: Any, done: jax.Array) -> Any:
            with made(self.choices):
                return total_loss(self.graph, params, images, labels, targets, done=done)[1]

        return jax.jit(terms)


@dataclass
class Validation:
    """The validations of a run: each is told, once its parameters are kept if they are the best so far."""

    run: Run
    owner: Owner
    validator: Validator
    warn: Callable[[str], None]
    told: Callable[[Validated], None]

    def __post_init__(self) -> None:
        self.skipped = 0
        self.best = self.run.best_parameters.score()

    def validate(self, step: int, params: Params) -> bool:
        """Validate the parameters after a step; return whether all images were seen."""
        found = self.validator.validate(step, params)
        for name, reason in [*self.validator.samples.skipped.items()][self.skipped :]:
            self.skipped += 1
            self.warn(skipped(name, reason))
        if found is None:
            return False
        by = self.run.plan.graph.training.keep_best
        score = None if by is None else Score.of(found, by, self.validator.samples.inventory.digest)
        best = score is not None and score.beats(self.best) and self._keep(step, params, score)
        self.told(replace(found, best=best))
        return True

    def _keep(self, step: int, params: Params, score: Score) -> bool:
        """Keep the best parameters; return whether they are."""
        try:
            self.run.best_parameters.save(Checkpoint(step, params, {}), self.owner, in_manifest(score))
        except OSError as error:
            self.warn(f"the best parameters, of step {step:,}, could not be written: {error}")
            return False
        self.best = score
        return True


def validated_steps(run: Run) -> set[int]:
    """Return the steps after which a run was validated, by its log."""
    return {event.step for event in run.events(steps=False) if isinstance(event, Validated)}


def validation_text(samples: Dataset, training: Training) -> str:
    """Return a sentence on what a run is validated on, and when."""
    every = training.validate_every
    return f"validation: {samples.contents}, after every {every:,} steps and the last"
