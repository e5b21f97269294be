"""Top-1 and top-5 accuracy of a network that learned labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lnet.dsl.diagnostics import refused
from lnet.runtime.analysis.images import check_images, set_labels
from lnet.runtime.data.labels import UNKNOWN, number_labels, readouts
from lnet.runtime.engine.evaluate import TOPS
from lnet.runtime.kernels.classes import class_ranks
from lnet.runtime.store.run import Run, opened

from .evaluate import Evaluator, Gallery
from .labelled import LabelledSet, open_all
from .on_workers import Workers, evaluator_of
from .passes import Places
from .result import Naming
from .subjects import Neurons, Responses, Weights

Array = NDArray[Any]
Place = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often a run, and others beside it, name the images of a labelled set rightly."""

    network: str
    run: str
    step: int
    images: str
    count: int
    labels: int
    skipped: int
    named: tuple[Naming, ...]


def accuracy(
    run: Run | Place,
    images: Place,
    *,
    step: int | None = None,
    compare: Mapping[str, Run | Place] | None = None,
    client: Workers | None = None,
) -> Accuracy:
    """Return the accuracy on labelled images of a run that learned labels: top-1, and top-5 of more than five classes.

    images      a folder, an archive or an array with labels; labels that some run did not learn are left out
    step        the checkpoint; the newest unless given
    compare     other runs by name
    client      a `distributed.Client` of a Dask cluster that sees runs and images; the figures are the same

    Raises `LnetError` if any of these is invalid, and for a network without an objective that learns labels.
    """
    run = opened(run)
    others = {name: opened(other) for name, other in (compare or {}).items()}
    for each in (run, *others.values()):
        check_images(each, "probe")
    graph, every = run.plan.graph, open_all(images, set_labels(run.plan.graph))
    shown = learned(every, {"trained": run, **others})
    gallery = Gallery(shown).decodable(graph.input.sheet)
    usable = gallery.images
    evaluator = evaluator_of(gallery, min(graph.training.batch, usable.count), client)
    weights = Weights(run.path, run.checkpoint(step).step)
    named = [*namings(evaluator, run, weights)]
    for name, other in others.items():
        named += namings(evaluator, other, Weights(other.path, other.checkpoint().step), name)
    return Accuracy(
        network=graph.name,
        run=str(run.path),
        step=weights.step,
        images=str(images),
        count=usable.count,
        labels=len(np.unique(usable.labels)),
        skipped=shown.count - usable.count,
        named=tuple(named),
    )


def names_labels(run: Run, images: Place) -> bool:
    """Whether a run learned labels, and a set has more than two: too many for one to be told from the other."""
    check_images(run, "probe")
    graph = run.plan.graph
    return bool(readouts(graph)) and len(open_all(images, set_labels(graph)).classes) > 2


def learned(images: LabelledSet, runs: Mapping[str, Run]) -> LabelledSet:
    """Return the images whose labels every run learned; raises `LnetError` if there are none."""
    known = np.ones(len(images.classes), bool)
    for run in runs.values():
        if not readouts(run.plan.graph):
            raise refused(
                "E786",
                f"no objective of '{run.path}' learns labels, so it cannot name images",
                hint="train it with 'cross_entropy' or 'one_vs_all'",
            )
        known &= number_labels(images.classes, run.classes or ()) != UNKNOWN
    kept = images.those(known[images.labels])
    if not kept.count:
        labels = ", ".join(f"'{name}'" for name in images.classes[:20])
        raise refused(
            "E786", f"the network learned none of the labels in '{images.path}'", f"they are {labels}"
        )
    return kept


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


def namings(evaluator: Evaluator, run: Run, weights: Weights, name: str = "trained") -> Iterator[Naming]:
    """Yield the accuracies of each objective with labels; nothing if no image is of one of the run's classes."""
    read = readouts(run.plan.graph)
    classes = known_classes(evaluator.gallery.images, run.classes or ())
    count = int((classes != UNKNOWN).sum())
    if not read or not count:
        return
    layers = tuple(dict.fromkeys(each.layer for each in read))
    hits = evaluator.evaluate(Neurons(weights, layers), Hits(classes))
    for each in read:
        shares = dict(zip(TOPS, (hits[each.layer] / count).tolist(), strict=True))
        top_5 = shares[5] if each.units > 5 else None
        yield Naming(name, each.objective, each.units, count, shares[1], top_5)


def known_classes(images: LabelledSet, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return which of a network's classes each image shows."""
    return number_labels(images.classes, classes)[images.labels].astype(np.int64)
