"""The whole probe of a run: the set, its halves, the trained network, and a row for each baseline."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lnet.compiler.graph import Graph
from lnet.runtime.network import Network
from lnet.runtime.run import Run, open_run, refused

from .baselines import plain_rows, template_rows, untrained_rows
from .labelled import LabelledSet, open_set
from .result import Probe, Row
from .scores import Mask, first_half
from .subjects import Neurons, probed_layers
from .sweep import LocalSweep
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
) -> Probe:
    """Test every neuron of a run's layers on labelled images, beside baselines in the same table.

    images      a folder, an archive or an array with labels; `label`, `against` and `sources` are as in `open_set`
    layers      those probed; the last of each stage unless given. The first stage is always there, as a baseline
    step        the checkpoint; the newest unless given
    seed        halves the sources
    baselines   whether simple things are tested too
    compare     other runs by name, tested like this one
    templates   how many patches and centroids; as many as the last layer has neurons unless given
    data        where the training images are, if they have moved

    Raises `LnetError` for what is wrong with any of these.
    """
    run = _opened(run)
    labelled = open_set(images, label, against, sources)
    trial = _trial(run, labelled, seed)
    checkpoint = run.checkpoint(step)
    network = Network(run.plan, checkpoint.params)
    chosen = probed_layers(run.plan.graph, layers)
    rows = [*_trained_rows(trial, network, chosen)]
    if baselines:
        sheet = run.plan.graph.input.sheet
        count = templates or run.plan.graph.layer(chosen[-1]).sheet.values
        rows += plain_rows(trial, sheet)
        rows += template_rows(trial, run, network, count, data)
        rows += untrained_rows(trial, network, chosen)
    for name, other in (compare or {}).items():
        rows += _other_rows(trial, _opened(other), name)
    usable = trial.images
    return Probe(
        network=run.plan.graph.name,
        run=str(run.directory),
        step=checkpoint.step,
        images=usable.path,
        label=usable.label,
        against=usable.against,
        positives=int(usable.positive.sum()),
        negatives=int((~usable.positive).sum()),
        sources=len(np.unique(usable.sources)),
        skipped=labelled.count - usable.count,
        seed=seed,
        rows=tuple(rows),
    )


def _opened(run: Run | Place) -> Run:
    return run if isinstance(run, Run) else open_run(run)


def _trial(run: Run, images: LabelledSet, seed: int) -> Trial:
    graph = run.plan.graph
    dataset = images.open(graph.input.sheet)
    usable = images.decodable(dataset)
    batch = min(graph.training.batch, usable.count)  # what it was trained with fits in memory
    return Trial(usable, _half(usable, seed), LocalSweep(usable, batch, {graph.input.sheet: dataset}), seed)


def _half(images: LabelledSet, seed: int) -> Mask:
    """Return which images neurons are chosen on for the honest figures."""
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


def _trained_rows(trial: Trial, network: Network, chosen: tuple[str, ...]) -> Iterator[Row]:
    """Yield the layers of the trained network, and its first stage, which the others should beat."""
    first = _first_stage(network.graph)
    layers = chosen if first is None or first in chosen else (first, *chosen)
    rows = trial.rows(Neurons(network, layers), "trained", baseline=False)
    yield from (row for layer, row in rows.items() if layer != first)
    if first is not None:
        yield replace(rows[first], name="first stage", baseline=True)


def _first_stage(graph: Graph) -> str | None:
    """Return the last layer of the first of several stages."""
    lasts = probed_layers(graph)
    return lasts[0] if len(lasts) > 1 else None


def _other_rows(trial: Trial, run: Run, name: str) -> Iterator[Row]:
    layers = probed_layers(run.plan.graph)
    yield from trial.rows(Neurons(run.network(), layers), name).values()
