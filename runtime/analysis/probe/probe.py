"""The whole probe of a run: the set, its halves, the trained network, and a row for each baseline."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from lnet.runtime.run import Run, open_run, refused

from .labelled import LabelledSet, open_set
from .result import Probe
from .scores import first_half
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
) -> Probe:
    """Test every neuron of a run's layers on labelled images, beside baselines; see docs/guide.md.

    `images` is a folder, an archive or an array with labels; `label`, `against` and `sources` are as in `open_set`.
    `layers` are the last of each stage unless they are given; `step` is the checkpoint, the newest unless given;
    `seed` halves the sources. Raises `LnetError`.
    """
    run = run if isinstance(run, Run) else open_run(run)
    graph = run.plan.graph
    named = probed_layers(graph, layers)
    labelled = open_set(images, label, against, sources)
    dataset = labelled.open(graph.input.sheet)
    usable = labelled.decodable(dataset)
    half = _halves(usable, seed)
    checkpoint = run.checkpoint(step)
    sweep = LocalSweep(usable, min(graph.training.batch, usable.count), {graph.input.sheet: dataset})
    trial = Trial(usable, half, sweep, seed)
    found = trial.rows(Neurons(run.network(checkpoint.step), named))
    rows = tuple(found.values())
    positives = int(usable.positive.sum())
    return Probe(
        graph.name,
        str(run.directory),
        checkpoint.step,
        labelled.path,
        labelled.label,
        labelled.against,
        positives,
        usable.count - positives,
        len(np.unique(usable.sources)),
        labelled.count - usable.count,
        seed,
        rows,
    )


def _halves(images: LabelledSet, seed: int) -> np.ndarray:
    """Return which images neurons are chosen on for the honest figures."""
    half = first_half(images.sources, images.positive, seed)
    for kind, name in ((images.positive, f"'{images.label}'"), (~images.positive, "none")):
        if not (kind & half).any() or not (kind & ~half).any():
            raise refused(
                "E772",
                f"halves need at least two sources of images with {name}",
                hint="leave '--sources' out if images are independent",
            )
    return half
