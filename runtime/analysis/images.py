"""The images shown to a trained network: its run's, or another set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lnet.compiler.graph.graph import Graph
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import refused
from lnet.runtime.data import Batch, Dataset, open_frames
from lnet.runtime.data.beside import EITHER
from lnet.runtime.data.in_memory import path_of, trained_on
from lnet.runtime.data.open_data import open_data
from lnet.runtime.process.counted import counted
from lnet.runtime.store.run import MOVED, Run

BATCH = 50
CACHE_BYTES = 2**26
"""Most analyses read each image once; a few stay in memory for videos, which decode some on the way to others."""
SAMPLES = 1000
"""The least number of random windows drawn, so that a few large photographs give many."""

Place = str | os.PathLike[str]


@dataclass(frozen=True)
class Images:
    """Batches of images; may be iterated repeatedly.

    `samples`: that many of a run's samples in its order; None: every image of a set once, in the order of the files. Raises
    `LnetError` if none can be decoded; other corrupt images are skipped and named in `skipped`.
    """

    dataset: Dataset
    samples: int | None = None

    @property
    def skipped(self) -> dict[str, str]:
        """The names of corrupt images found so far, with the reasons."""
        return self.dataset.skipped

    def __iter__(self) -> Iterator[Batch]:
        count = self.dataset.count if self.samples is None else self.samples
        batches = self._each_once() if self.samples is None else self._samples(self.samples)
        return counted("batches of images", batches, -(-count // BATCH))

    def _samples(self, count: int) -> Iterator[Batch]:
        for first in range(0, count, BATCH):
            yield self.dataset.batch(first, min(BATCH, count - first), views=1)

    def _each_once(self) -> Iterator[Batch]:
        found = False
        for batch in self.dataset.ordered(BATCH):
            found = True
            yield batch
        if not found:
            raise self.dataset.undecodable(self.dataset.count)


def open_set(run: Run, place: Place, labelled: bool = False) -> Images:
    """Open a set of images prepared for the run's network: scaled whole, normalised as in training.

    With `labelled` they have labels: beside them, else the names of their folders, as the run takes them. Arrays are read
    as those that the run was trained on. Raises `LnetError`.
    """
    graph, place = run.plan.graph, path_of(place)
    if graph.arrays is not None:
        found = open_data(graph.arrays.at(str(place)), graph, Path.cwd())
        if labelled and found.classes is None:
            hint = "the run's 'arrays(...)' names none either: train it with 'labels = \"NAME\"'"
            raise refused("E707", f"the arrays in '{place}' are read without labels", hint=hint)
        return Images(found)
    labels = set_labels(graph) if labelled else None
    frames = replace(graph.frames, path=str(place), crop="resize", exclude=None, labels=labels)
    channels, training = graph.input.sheet.maps, graph.training
    return Images(open_frames(frames, channels, Path.cwd(), training.seed, CACHE_BYTES, dtype=training.dtype))


def set_labels(graph: Graph) -> str:
    """Return where a labelled set has its labels: where the images of the run have theirs, else in the names of folders."""
    return EITHER if graph.frames.labels == "file" else "folder"


def check_images(run: Run, command: str) -> None:
    """Raise `LnetError` for a run on arrays, whose network no image can be shown."""
    if run.plan.graph.arrays is not None:
        raise refused(
            "E783",
            f"'{command}' shows images to a network, and '{run.directory}' was trained on arrays",
            hint="in Python: values = run.network()(lnet.prepare(x, run.network()))",
        )


def own_images(run: Run, samples: int | None = None) -> Images:
    """Open a run's training images, prepared as in training: `samples` of them, by default one pass.

    At least 1,000 where windows are cut out at random. Raises `LnetError`.
    """
    graph = run.plan.graph
    data = graph.training.data
    if data is None or run.info["data"]["in_memory"]:
        message = f"the run was trained on {trained_on(run.info['data'])}, so there are no images to read"
        raise refused("E747", message, hint="name a folder, an archive or an array file with '--data'")
    own = open_data(data, graph, Path(run.info["data"]["base"]), kept=run.kept, hint=MOVED)
    windows = isinstance(data, Frames) and data.crop == "random"
    return Images(own, samples or (max(own.count, SAMPLES) if windows else own.count))
