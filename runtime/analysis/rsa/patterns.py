"""The responses of layers to conditions, in one pass over the images: what is held grows with conditions, not with images.

by labels     a condition is a label, its pattern the mean response to its images
by images     a condition is an image
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.analysis.images import Images
from lnet.runtime.analysis.neurons import layers_of
from lnet.runtime.engine.network import Network

LABELS, IMAGES = "labels", "images"
LIMIT = 2 * 10**9
"""Bytes of patterns and of dissimilarities that are held."""
Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Patterns:
    """Responses by layer, `[fold, condition, neuron]`, to the conditions `names`; `counts`: their images."""

    names: tuple[str, ...]
    counts: tuple[int, ...]
    layers: Mapping[str, Array]


def patterns_of(network: Network, paths: Sequence[str], images: Images, by: str, folds: int = 1) -> Patterns:
    """Return the patterns of layers; by labels, an image is in the fold of the number of its label's images before it.

    Raises `LnetError` for patterns that are too large, and labels with too few images.
    """
    neurons = {path: network.graph.layer(path).sheet.values for path in paths}
    classes = images.dataset.classes if by == LABELS else None
    conditions = images.dataset.count if classes is None else len(classes)
    _check_size(conditions, neurons, folds, by)
    if classes is None:
        return _by_image(network, neurons, images, conditions)
    return _by_label(network, neurons, images, classes, folds)


def _check_size(conditions: int, neurons: Mapping[str, int], folds: int, by: str) -> None:
    number = 4 if by == IMAGES else 8 * folds
    held = conditions * (sum(neurons.values()) * number + conditions * len(neurons) * 8)
    if held > LIMIT:
        raise refused(
            "E753",
            f"the responses of {sum(neurons.values()):,} neurons to {conditions:,} {by}, and their dissimilarities, take "
            f"{held / 1e9:.1f} GB, and at most {LIMIT / 1e9:.0f} GB are held",
            hint=(
                "name fewer layers at once",
                *(("take the means of labels: --by labels",) if by == IMAGES else ()),
            ),
        )


def _by_image(network: Network, neurons: Mapping[str, int], images: Images, count: int) -> Patterns:
    rows = {path: np.empty((1, count, many), np.float32) for path, many in neurons.items()}
    names: list[str] = []
    for batch in images:
        first, last = len(names), len(names) + len(batch.names)
        for path, values in layers_of(network, tuple(neurons), batch.images).items():
            rows[path][0, first:last] = values.reshape(len(values), -1)
        names += batch.names
    return Patterns(tuple(names), (1,) * len(names), {path: r[:, : len(names)] for path, r in rows.items()})


def _by_label(
    network: Network, neurons: Mapping[str, int], images: Images, classes: Sequence[str], folds: int
) -> Patterns:
    sums = {path: np.zeros((folds, len(classes), many)) for path, many in neurons.items()}
    counts = np.zeros((folds, len(classes)), np.int64)
    for batch in images:
        assert batch.labels is not None, "patterns_of: images by label have labels"
        found = layers_of(network, tuple(neurons), batch.images)
        for place, label in enumerate(batch.labels.tolist()):
            fold = int(counts[:, label].sum()) % folds
            counts[fold, label] += 1
            for path, values in found.items():
                sums[path][fold, label] += values[place].ravel()
    shown = np.flatnonzero(counts.any(0)).tolist()
    for label in shown:
        if not counts[:, label].all():
            message = f"crossnobis compares halves of the images of each label, and '{classes[label]}' has one image"
            raise unlike(message, hint="take another kind: --rdm euclidean")
    for path in sums if len(shown) < len(classes) else ():
        sums[path] = sums[path][:, shown]
    for total in sums.values():
        total /= counts[:, shown, None]
    return Patterns(tuple(classes[k] for k in shown), tuple(counts[:, shown].sum(0).tolist()), sums)


def unlike(message: str, *notes: str, hint: str | tuple[str, ...] = ()) -> LnetError:
    """Return the error for patterns between which there are no dissimilarities."""
    return refused("E788", message, *notes, hint=hint)
