"""Top-1 and top-5 accuracy of a network that learned labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lnet.runtime.data.labels import UNKNOWN, number_labels
from lnet.runtime.engine.evaluate import TOPS
from lnet.runtime.kernels.classes import class_ranks
from lnet.runtime.store.run import Run

from .labelled import LabelledSet
from .passes import Places
from .result import Naming
from .subjects import Neurons, Responses, Weights
from .testing import Trial

Array = NDArray[Any]


@dataclass(frozen=True)
class Hits:
    """Images whose class is among the likeliest `[top]`; `classes`: the number of each image's class, or UNKNOWN."""

    classes: NDArray[np.int64]

    def map(self, responses: Responses, numbers: Places) -> dict[str, Array]:
        classes = self.classes[numbers]
        known = np.flatnonzero(classes != UNKNOWN)
        return {
            group: np.array([(ranks < top).sum() for top in TOPS])
            for group, scores in responses.items()
            for ranks in [np.asarray(class_ranks(scores[:, known], jnp.asarray(classes[known])))]
        }

    def merge(self, one: dict[str, Array], other: dict[str, Array]) -> dict[str, Array]:
        return {group: count + other[group] for group, count in one.items()}


def namings(trial: Trial, run: Run, weights: Weights, name: str = "trained") -> Iterator[Naming]:
    """Yield the accuracies of each objective with labels; nothing if no image is of one of the run's classes."""
    learned = [objective for objective in run.plan.graph.objectives if objective.term.needs_labels]
    if not learned:
        return
    classes = known_classes(trial.images, run.classes or ())
    count = int((classes != UNKNOWN).sum())
    if not count:
        return
    layers = {objective.path: run.plan.graph.layer(objective.reads[0]).path for objective in learned}
    hits = trial.evaluator.evaluate(Neurons(weights, tuple(dict.fromkeys(layers.values()))), Hits(classes))
    for path, layer in layers.items():
        units = run.plan.graph.layer(layer).sheet.values
        shares = dict(zip(TOPS, (hits[layer] / count).tolist(), strict=True))
        yield Naming(name, path, units, count, shares[1], shares[5] if units > 5 else None)


def known_classes(images: LabelledSet, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return which of a network's classes each image shows."""
    return number_labels(images.classes, classes)[images.labels].astype(np.int64)
