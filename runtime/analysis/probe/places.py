"""How often a network names objects rightly at n x n places of its field, and how alike such maps are.

Lu et al. 2025 (All-TNN) asked people and networks to name objects at 5 x 5 places, and correlated their maps of accuracy
(Pearson) label by label. Their code reads finished maps, so the stimuli here follow lnet's own rule (placed.py): each image,
scaled whole as for any analysis, fills the share `scale` of the field, on a grey background. Accuracies are top-1 by the
network's own readout, among all classes that it learned, and means over labels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Size
from lnet.compiler.files import plain
from lnet.dsl.diagnostics import refused
from lnet.runtime.analysis.gallery import Content, Record, keep
from lnet.runtime.analysis.images import check_images, set_labels
from lnet.runtime.analysis.matrices import Given, misfit, read_given
from lnet.runtime.analysis.plots import npz, to_png
from lnet.runtime.data.labels import readouts
from lnet.runtime.store.run import Run, opened

from .evaluate import Evaluator, Gallery
from .labelled import open_all
from .naming import known_classes, learned
from .on_workers import Workers, evaluator_of
from .placed import Grid, Placed, Right, group
from .places_picture import labels_figure, maps_figure
from .subjects import Neurons, Weights

KIND = "places"
Place = str | os.PathLike[str]
Maps = NDArray[np.float64]
"""Accuracies `[label, row, column]`; one label of a file whose maps are of all labels together."""


@dataclass(frozen=True)
class PlaceMap:
    """The share of images named rightly, `[label, row, column]`; `name`: the run, and the objective if it has several."""

    name: str
    by_label: Maps

    @property
    def accuracy(self) -> Maps:
        """The mean over labels, `[row, column]`."""
        mean: Maps = self.by_label.mean(0)
        return mean


@dataclass(frozen=True)
class Agreement:
    """How alike two maps are: Pearson's correlation `together`, of means over labels, and the mean `by_label`.

    None where a map is the same everywhere; `labels` counts those whose maps vary. `ceilings` are those of a file with
    several subjects, of the finest of the two: how well a subject agrees with the mean of the others, and of all.
    """

    one: str
    other: str
    together: float | None
    by_label: float | None
    labels: int
    ceilings: tuple[float, float] | None = None


@dataclass(frozen=True)
class PlaceMaps:
    """The maps of a run and of those beside it, and how alike they are; `labels` are those shown, with images each."""

    grid: Grid
    labels: Mapping[str, int]
    maps: tuple[PlaceMap, ...]
    agreements: tuple[Agreement, ...]
    record: Record


def places(
    run: Run | Place,
    images: Place,
    count: int = 5,
    *,
    scale: float | None = None,
    background: float = 0.5,
    step: int | None = None,
    compare: Mapping[str, Run | Place] | None = None,
    maps: Sequence[Place] = (),
    client: Workers | None = None,
) -> PlaceMaps:
    """Return how often a run names labelled images at `count` x `count` places, and keep it in the run with pictures.

    images      a folder, an archive or an array with labels; labels that some run did not learn are left out
    scale       the share of the field's rows and columns that an image fills; 1 / count unless given
    background  the field around it, from 0 (black) to 1 (white), before normalisation
    step        the checkpoint; the newest unless given
    compare     other runs by name, whose maps are correlated with this one's
    maps        files of accuracies `[row, column]`, `[label, row, column]` or `[subject, label, row, column]`
    client      a `distributed.Client` of a Dask cluster that sees runs and images; the figures are the same

    Raises `LnetError` if any of these is invalid, and for a network without an objective that learns labels.
    (Lu et al. 2025.)
    """
    runs = {"trained": opened(run), **{name: opened(other) for name, other in (compare or {}).items()}}
    given = [read_given(place) for place in maps]
    for each in runs.values():
        check_images(each, "probe")
    shown = learned(open_all(images, set_labels(runs["trained"].plan.graph)), runs)
    gallery = Gallery(shown).decodable(runs["trained"].plan.graph.input.sheet)
    usable = gallery.images
    labels, numbers = np.unique(usable.labels, return_inverse=True)
    names = tuple(usable.classes[label] for label in labels)
    wanted = [_in_order(each, names, count) for each in given]  # before the work begins
    found: list[PlaceMap] = []
    grids = {name: _grid(each, count, scale, background) for name, each in runs.items()}
    for name, each in runs.items():
        batch = min(each.plan.graph.training.batch, usable.count)
        evaluator = evaluator_of(gallery, batch, client)
        at = step if name == "trained" else None
        found += _maps(
            evaluator, name, each, Weights(each.path, each.checkpoint(at).step), grids[name], numbers
        )
    counts = dict(zip(names, np.bincount(numbers).tolist(), strict=True))
    agreements = (
        *(
            _agreement(one.name, one.by_label, other.name, other.by_label[None])
            for one, other in combinations(found, 2)
        ),
        *(
            _agreement(one.name, one.by_label, g.path, m)
            for g, m in zip(given, wanted, strict=True)
            for one in found
        ),
    )
    record = _keep(
        runs["trained"],
        images,
        grids["trained"],
        counts,
        found,
        dict(zip(maps, wanted, strict=True)),
        agreements,
    )
    return PlaceMaps(grids["trained"], counts, tuple(found), agreements, record)


def _grid(run: Run, count: int, scale: float | None, background: float) -> Grid:
    field = run.plan.graph.input.sheet.size
    if not 1 <= count <= min(field.rows, field.columns):
        most = min(field.rows, field.columns)
        raise refused("E780", f"a field of {field} pixels has 1 to {most} places along a side, found {count}")
    share = 1 / count if scale is None else scale
    if not 0 < share <= 1 or not 0 <= background <= 1:
        found = f"found a scale of {share:g} and a background of {background:g}"
        raise refused(
            "E780", "the scale of objects is above 0 and at most 1, the background from 0 to 1", found
        )
    size = Size(max(1, round(share * field.rows)), max(1, round(share * field.columns)))
    return Grid(count, field, size, background)


def _maps(
    evaluator: Evaluator, name: str, run: Run, weights: Weights, grid: Grid, numbers: NDArray[np.int64]
) -> Iterator[PlaceMap]:
    """Yield the map of each objective with labels, in one pass over the images."""
    read, counts = readouts(run.plan.graph), np.bincount(numbers)
    units = known_classes(evaluator.gallery.images, run.classes or ())
    layers = tuple(dict.fromkeys(each.layer for each in read))
    right = evaluator.evaluate(Placed(Neurons(weights, layers), grid), Right(numbers, units, len(counts)))
    for each in read:
        hits = np.stack([right[group(each.layer, *place)] for place in grid.places], 1)
        by_label = hits.reshape(-1, grid.count, grid.count) / counts[:, None, None]
        yield PlaceMap(name if len(read) == 1 else f"{name}, {each.objective}", by_label)


# --- agreement -------------------------------------------------------------------------------------------


def _in_order(given: Given, labels: Sequence[str], count: int) -> NDArray[np.float64]:
    """Return a file's maps `[subject, label, row, column]` for the labels in this order; raises `LnetError`."""
    values = given.values
    if values.ndim not in (2, 3, 4) or values.shape[-2:] != (count, count):
        expected = (
            f"expected maps of {count}x{count} places: [row, column], [label, ...] or [subject, label, ...]"
        )
        raise misfit(f"'{given.path}' has the shape {values.shape}", expected)
    maps = (
        values.reshape(1, *((1,) if values.ndim == 2 else ()), *values.shape) if values.ndim < 4 else values
    )
    return maps if maps.shape[1] == 1 else maps[:, given.order(labels, maps.shape[1])]


def correlation(one: Maps, other: Maps) -> float | None:
    """Return Pearson's correlation of two maps; None if one of them is the same everywhere."""
    if not np.ptp(one) or not np.ptp(other):
        return None
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _agreement(name: str, by_label: Maps, other: str, subjects: NDArray[np.float64]) -> Agreement:
    """Return how a run's map agrees with the mean of subjects' maps `[subject, label, row, column]`."""
    mean = subjects.mean(0)
    together = correlation(by_label.mean(0), mean.mean(0))
    pairs = zip(by_label, mean, strict=True) if len(mean) == len(by_label) else ()
    each = [r for r in (correlation(*pair) for pair in pairs) if r is not None]
    return Agreement(
        name, other, together, float(np.mean(each)) if each else None, len(each), _ceilings(subjects)
    )


def _ceilings(subjects: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the noise ceilings of subjects' maps, means over labels; None for a single subject, and for maps without form.

    The lower one correlates each subject with the mean of the others, the upper one with the mean of all, as the code of
    Lu et al. does (behaviour_alignment.py).
    """
    count = len(subjects)
    if count < 2:
        return None
    total = subjects.sum(0)
    low, high = [], []
    for own in subjects:
        low += [correlation(a, b) for a, b in zip(own, (total - own) / (count - 1), strict=True)]
        high += [correlation(a, b) for a, b in zip(own, total / count, strict=True)]
    ends = [[r for r in end if r is not None] for end in (low, high)]
    return (float(np.mean(ends[0])), float(np.mean(ends[1]))) if all(ends) else None


# --- the record ------------------------------------------------------------------------------------------


def _keep(
    run: Run,
    images: Place,
    grid: Grid,
    labels: Mapping[str, int],
    maps: Sequence[PlaceMap],
    given: Mapping[Place, NDArray[np.float64]],
    agreements: Sequence[Agreement],
) -> Record:
    figures: dict[str, Any] = {
        "data": str(images),
        "places": grid.count,
        "object": [grid.size.rows, grid.size.columns],
        "field": [grid.field.rows, grid.field.columns],
        "background": grid.background,
        "labels": dict(labels),
        "maps": {found.name: found.accuracy.tolist() for found in maps},
        "agreements": [
            {
                "one": each.one,
                "other": each.other,
                "together": each.together,
                "by_label": each.by_label,
                "labels": each.labels,
                "ceilings": each.ceilings,
            }
            for each in agreements
        ],
    }
    arrays = {
        "labels": np.array(list(labels)),
        "images": np.array(list(labels.values())),
        "maps": np.array([found.name for found in maps]),
        "accuracy": np.stack([found.by_label for found in maps]),
    }
    title = f"{run.directory.name}: {Path(images).name}"
    shown = {found.name: found.accuracy for found in maps}
    shown |= {str(place): found.mean((0, 1)) for place, found in given.items()}
    files: dict[str, Content] = {
        "maps.png": to_png(maps_figure(shown, title)),
        "labels.png": to_png(labels_figure(list(labels), maps[0].by_label, title)),
        "npz": npz(arrays),
    }
    return keep(run, KIND, plain(Path(images).stem) or "images", figures, files)
