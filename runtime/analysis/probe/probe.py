"""The whole probe of a run: the set, its halves, the trained network, and a row for each baseline."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import refused
from lnet.runtime.analysis.images import check_images, set_labels
from lnet.runtime.store.run import Run, opened

from .baselines import plain_rows, template_rows, untrained_rows
from .evaluate import Gallery
from .labelled import LabelledSet, open_set
from .naming import namings
from .on_workers import Workers, evaluator_of
from .result import Probe, Row
from .scores import Mask, first_half
from .specificity import with_specificity
from .subjects import Neurons, Weights, probed_layers
from .testing import Trial

Place = str | os.PathLike[str]


def probe(
    run: Run | Place,
    images: Place,
    label: str | None = None,
    against: str | None = None,
    *,
    sources: Sequence[str] = (),
    layers: Sequence[str] = (),
    step: int | None = None,
    seed: int = 0,
    baselines: bool = True,
    compare: Mapping[str, Run | Place] | None = None,
    templates: int | None = None,
    data: Place | None = None,
    client: Workers | None = None,
) -> Probe:
    """Test every neuron of a run's layers on labelled images, beside baselines in the same table.

    images      a folder, an archive or an array with labels; `label`, `against` and `sources` are as in `open_set`
    layers      layers to probe; by default the last of each stage with weights. The first stage is added as a baseline
    step        the checkpoint; the newest unless given
    seed        random seed of the split of the sources into halves
    baselines   whether to test the baselines too
    compare     other runs by name, tested like this one
    templates   number of patches and of centroids (default: the number of neurons in the last layer)
    data        where the training images are, if they have moved
    client      a `distributed.Client` of a Dask cluster that sees run and images; the figures are the same

    Raises `LnetError` if any of these is invalid.
    """
    sources = (sources,) if isinstance(sources, str) else sources
    run = opened(run)
    for each in (run, *map(opened, (compare or {}).values())):
        check_images(each, "probe")
    labelled = open_set(images, label, against, sources, set_labels(run.plan.graph))
    trial = _trial(run, labelled, seed, client)
    weights = _weights(run, step)
    chosen = probed_layers(run.plan.graph, layers)
    rows = [*_trained_rows(trial, weights, chosen)]
    if baselines:
        sheet = run.plan.graph.input.sheet
        count = templates or run.plan.graph.layer(chosen[-1]).sheet.values
        rows += plain_rows(trial, sheet)
        rows += template_rows(trial, run, weights, count, data)
        rows += untrained_rows(trial, weights, chosen)
    named = [*namings(trial.evaluator, run, weights)]
    for name, place in (compare or {}).items():
        other = opened(place)
        rows += _other_rows(trial, other, name)
        named += namings(trial.evaluator, other, _weights(other), name)
    usable = trial.images
    return Probe(
        network=run.plan.graph.name,
        run=str(run.path),
        step=weights.step,
        images=usable.path,
        label=usable.label,
        against=usable.against,
        positives=int(usable.positive.sum()),
        negatives=int((~usable.positive).sum()),
        sources=len(np.unique(usable.sources)),
        skipped=labelled.count - usable.count,
        seed=seed,
        rows=tuple(rows),
        named=tuple(named),
    )


def _weights(run: Run, step: int | None = None) -> Weights:
    """Return the weights of a whole checkpoint, pinned to its step: a run still in training must not change them later."""
    return Weights(run.path, run.checkpoint(step).step)


def _trial(run: Run, images: LabelledSet, seed: int, client: Workers | None) -> Trial:
    graph = run.plan.graph
    gallery = Gallery(images).decodable(graph.input.sheet)
    half = _half(gallery.images, seed)
    batch = min(graph.training.batch, len(half))  # the training batch fits in memory
    return Trial(evaluator_of(gallery, batch, client), half, seed)


def _half(images: LabelledSet, seed: int) -> Mask:
    """Return the mask of the images on which neurons are chosen for the held-out figures."""
    half = first_half(images.sources, images.positive, seed)
    kinds = {f"with '{images.label}'": images.positive, f"without '{images.label}'": ~images.positive}
    for name, kind in kinds.items():
        if not (kind & half).any() or not (kind & ~half).any():
            raise refused(
                "E772",
                f"halves need two sources of images {name} at least",
                hint="leave '--sources' out if all images are independent",
            )
    return half


def _trained_rows(trial: Trial, weights: Weights, chosen: tuple[str, ...]) -> Iterator[Row]:
    """Yield the layers of the trained network, and its first stage, which the others should beat."""
    first = _first_stage(weights.network.graph)
    layers = chosen if first is None or first in chosen else (first, *chosen)
    neurons = Neurons(weights, layers)
    rows = with_specificity(trial, neurons, trial.rows(neurons, "trained", baseline=False))
    yield from (row for layer, row in rows.items() if layer != first)
    if first is not None:
        yield replace(rows[first], name="first stage", baseline=True)


def _first_stage(graph: Graph) -> str | None:
    """Return the last layer of the first of several stages."""
    lasts = probed_layers(graph)
    return lasts[0] if len(lasts) > 1 else None


def _other_rows(trial: Trial, run: Run, name: str) -> Iterator[Row]:
    layers = probed_layers(run.plan.graph)
    yield from trial.rows(Neurons(_weights(run), layers), name).values()
