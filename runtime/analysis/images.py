"""The images that a trained network is shown: those of its run, or a set of others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lnet.compiler.settings import Frames
from lnet.runtime.data import Batch, Dataset, open_frames
from lnet.runtime.data.sources import ARRAYS
from lnet.runtime.run import Run, refused

BATCH = 50
SAMPLES = 1000
"""Where windows are cut out at random, at least so many are drawn, so that a few large photographs give many."""

Place = str | os.PathLike[str]


def open_set(run: Run, place: Place, labelled: bool = False) -> Dataset:
    """Open a set of images as the run's network sees them: scaled whole, normalised as in training.

    With `labelled` the name of an image's folder is its label, in an array file what `labels` says. Raises
    `LnetError`.
    """
    graph = run.plan.graph
    frames = graph.training.data or Frames("", graph.input.sheet.size)
    by_folder = labelled and Path(place).suffix.lower() not in ARRAYS
    frames = replace(
        frames, path=str(place), crop="resize", exclude=None, labels="folder" if by_folder else None
    )
    found = open_frames(frames, graph.input.sheet.maps, Path.cwd(), graph.training.seed)
    if labelled and found.classes is None:
        raise refused("E707", f"the images in '{place}' have no labels")
    return found


def every_image(images: Dataset, place: Place) -> Iterator[Batch]:
    """Yield every image of a set once, in the order of its files; raises `LnetError` if none can be decoded."""
    found = False
    for batch in images.ordered(BATCH):
        found = True
        yield batch
    if not found:
        name, reason = next(iter(images.skipped.items()))
        message = f"none of the {images.count} images in '{place}' can be decoded"
        raise refused("E706", message, f"'{name}': {reason}")


def shown(run: Run, data: Place | None, samples: int | None = None) -> Iterator[Batch]:
    """Yield every image of the set `data` once, or samples as the run was trained on them.

    As many as `samples` says; by default one pass, and at least 1,000 where windows are cut out at random. Raises
    `LnetError`.
    """
    if data is not None:
        yield from every_image(open_set(run, data), data)
        return
    frames = run.plan.graph.training.data
    if frames is None or run.info["data"]["in_memory"]:
        message = "the run was trained on an array, so there are no images to read"
        raise refused("E747", message, hint="name a folder, an archive or an array file with '--data'")
    own = open_frames(
        frames, run.plan.graph.input.sheet.maps, Path(run.info["data"]["base"]), run.plan.graph.training.seed
    )
    count = samples or (max(own.count, SAMPLES) if frames.crop == "random" else own.count)
    for first in range(0, count, BATCH):
        yield own.batch(first, min(BATCH, count - first))
