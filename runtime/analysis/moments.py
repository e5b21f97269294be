"""Means, spreads, covariances and costs of a layer's responses to many images, in one pass and in bounded memory.

Memory grows with neurons times classes, not with images: 20 bytes for each pair at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnet.runtime.data import Batch
from lnet.runtime.engine.network import Network

from .neurons import Array, cost_of

MOST_UNITS = 2048
"""Covariances are taken over at most so many units, evenly spaced."""
ACTIVATION, TRANSMISSION = 1 / 3, 2 / 3
"""The shares of the two costs in the energy (Lu et al. 2025)."""


@dataclass(frozen=True)
class Energy:
    """The costs of each neuron `[row, column, map]`, means over images (Lu et al. 2025).

    `activation`: the absolute response, `|y|`. `transmission`: the sum over its inputs of `|w x|`, without bias; None for
    a layer without weights. (github.com/KietzmannLab/All-TNN, energy_efficiency.py, which sums over images.)
    """

    activation: Array
    transmission: Array | None

    @property
    def total(self) -> Array | None:
        """A third of activation and two thirds of transmission, as the code cited weights them."""
        if self.transmission is None:
            return None
        return ACTIVATION * self.activation + TRANSMISSION * self.transmission

    @property
    def maps(self) -> dict[str, Array]:
        """The costs that there are, by name."""
        named = {"activation": self.activation, "transmission": self.transmission, "energy": self.total}
        return {name: each for name, each in named.items() if each is not None}

    @property
    def means(self) -> dict[str, float]:
        """The mean cost of a neuron, by name."""
        return {name: float(costs.mean()) for name, costs in self.maps.items()}


@dataclass(frozen=True)
class Moments:
    """Of each neuron `[row, column, map]`: `mean` and `variance` over all images, and its energy.

    `counts`: images of each class (one class without labels). `means` `[class, row, column, map]`; 0 for a class without
    images. `dprime` `[row, column, map, class]`: how far each class lies above all others, in the root of their mean
    variance; 0 for a neuron that never varies, and NaN for a class that has no images, or all of them. `covariance`: of at
    most `MOST_UNITS` neurons, evenly spaced.
    """

    counts: Array
    means: Array
    mean: Array
    variance: Array
    dprime: NDArray[np.float32]
    energy: Energy
    covariance: Array

    @property
    def participation_ratio(self) -> float:
        """The number of dimensions that responses fill, NaN if nothing varies.

        The squared sum of the covariance's eigenvalues over the sum of their squares (Gao et al. 2017).
        """
        squares = float(np.square(self.covariance).sum())
        return float(np.trace(self.covariance)) ** 2 / squares if squares else float("nan")


def moments_of(network: Network, path: str, batches: Iterable[Batch], classes: int = 1) -> Moments:
    """Return the moments of a layer's responses to images, by class if there are several."""
    sheet = network.graph.layer(path).sheet
    shape = (sheet.height, sheet.width, sheet.maps)
    units = np.unique(np.linspace(0, sheet.values - 1, min(sheet.values, MOST_UNITS)).astype(int))
    counts, activation, transmission = np.zeros(classes), np.zeros(shape), np.zeros(shape)
    sums, squares = np.zeros((classes, *shape)), np.zeros((classes, *shape))
    totals, products = np.zeros(len(units)), np.zeros((len(units), len(units)))
    # Responses are taken relative to the first image's, so that squares lose no digits.
    first: Array | None = None
    weighs = network.graph.layer(path).op.linear is not None
    for batch in batches:
        cost = cost_of(network, path, batch.images)
        values = cost.values.astype(np.float64)
        labels = np.zeros(len(values), int) if classes == 1 or batch.labels is None else batch.labels
        if first is None:
            first = values[0].copy()
        activation += np.abs(values).sum(0)
        if cost.transmission is not None:
            transmission += cost.transmission.sum(0, dtype=np.float64)
        values -= first
        for label in np.unique(labels):
            own = values[labels == label]
            counts[label] += len(own)
            sums[label] += own.sum(0)
            squares[label] += np.square(own).sum(0)
        some = values.reshape(len(values), -1)[:, units]
        totals += some.sum(0)
        products += some.T @ some
    total = max(counts.sum(), 1)
    covariance = products / total - np.outer(totals, totals) / total**2
    energy = Energy(activation / total, transmission / total if weighs else None)
    mean, square = sums.sum(0) / total, squares.sum(0) / total
    variance = np.maximum(square - mean**2, 0)
    dprime = _dprime(counts, sums, squares)
    if first is not None:
        mean += first
        for number in np.flatnonzero(counts):  # in place: the array may be large
            sums[number] /= counts[number]
            sums[number] += first
    return Moments(counts, sums, mean, variance, dprime, energy, covariance)


def _dprime(counts: Array, sums: Array, squares: Array) -> NDArray[np.float32]:
    """Return d' from sums of values and of squares, `[class, row, column, map]`."""
    total, all_sums, all_squares = counts.sum(), sums.sum(0), squares.sum(0)
    found = np.full((*sums.shape[1:], len(counts)), np.nan, np.float32)
    for number, own in enumerate(counts):
        if not 0 < own < total:
            continue
        mean, rest = sums[number] / own, (all_sums - sums[number]) / (total - own)
        within = np.maximum(squares[number] / own - mean**2, 0)
        beside = np.maximum((all_squares - squares[number]) / (total - own) - rest**2, 0)
        spread = np.sqrt((within + beside) / 2)
        found[..., number] = np.divide(mean - rest, spread, out=np.zeros_like(mean), where=spread > 0)
    return found
