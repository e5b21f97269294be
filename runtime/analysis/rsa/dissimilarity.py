"""Dissimilarities between patterns, as rsatoolbox defines them, from products of blocks of neurons.

    correlation   1 - r                                                   of the neurons' responses to two conditions
    euclidean     |x - y|^2 / neurons
    crossnobis    (x1 - y1) (x2 - y2) / neurons                           of two halves of the images: noise cancels

(Kriegeskorte et al. 2008; crossnobis with noise alike in all neurons: Walther et al. 2016.) rsatoolbox takes the same from
three copies of all patterns in float64; here a block of neurons at a time is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .patterns import Array, Patterns, unlike

BLOCK = 4096
"""Neurons of a block."""
Matrix = NDArray[np.float64]


def dissimilarities(patterns: Patterns, path: str, kind: str) -> Matrix:
    """Return a layer's dissimilarities `[condition, condition]`; raises `LnetError` where there are none."""
    found = KINDS[kind](patterns, path)
    np.fill_diagonal(found, 0)
    return found


def _correlation(patterns: Patterns, path: str) -> Matrix:
    (values,) = patterns.layers[path]
    level = values.mean(1, keepdims=True, dtype=np.float64)
    products = np.zeros((len(values), len(values)))
    for block in _blocks(values):
        products += (block - level) @ (block - level).T
    length = np.sqrt(np.diagonal(products))
    for name, alike in zip(
        patterns.names, length <= 1e-12 * np.sqrt(values.shape[1]) * np.abs(level[:, 0]), strict=True
    ):
        if alike:
            message = f"the responses of '{path}' to '{name}' are the same in all neurons, so nothing correlates with them"
            raise unlike(message, hint="take another kind of dissimilarity: --rdm euclidean")
    found: Matrix = 1 - products / length / length[:, None]
    return found


def _euclidean(patterns: Patterns, path: str) -> Matrix:
    (values,) = patterns.layers[path]
    return np.maximum(_differences(values, values), 0)


def _crossnobis(patterns: Patterns, path: str) -> Matrix:
    return _differences(*patterns.layers[path])


def _differences(one: Array, other: Array) -> Matrix:
    """Return `(one[i] - one[j]) (other[i] - other[j])` for all conditions, a mean over neurons."""
    products = np.zeros((len(one), len(one)))
    for a, b in zip(_blocks(one), _blocks(other), strict=True):
        products += (a - a.mean(0)) @ (
            b - b.mean(0)
        ).T  # without what all conditions share, which costs digits
    own = np.diagonal(products)
    found: Matrix = (own + own[:, None] - products - products.T) / one.shape[1]
    return found


def _blocks(values: Array) -> Iterator[Matrix]:
    for first in range(0, values.shape[1], BLOCK):
        yield values[:, first : first + BLOCK].astype(np.float64)


KINDS: dict[str, Callable[[Patterns, str], Matrix]] = {
    "correlation": _correlation,
    "euclidean": _euclidean,
    "crossnobis": _crossnobis,
}
FOLDS = {"crossnobis": 2}
"""Halves of the images that a kind compares."""


def pairs(matrices: NDArray[Any]) -> NDArray[Any]:
    """Return matrices `[..., condition, condition]` as vectors `[..., pair]`: the rows above the diagonal, one by one."""
    upper = np.triu_indices(matrices.shape[-1], 1)
    return matrices[..., upper[0], upper[1]]


def squares(vectors: NDArray[Any]) -> NDArray[Any] | None:
    """Return vectors `[..., pair]` as matrices; None if no number of conditions has so many pairs."""
    count = round((1 + np.sqrt(1 + 8 * vectors.shape[-1])) / 2)
    if count * (count - 1) // 2 != vectors.shape[-1]:
        return None
    found = np.zeros((*vectors.shape[:-1], count, count))
    rows, columns = np.triu_indices(count, 1)
    found[..., rows, columns] = found[..., columns, rows] = vectors
    return found
