"""Means, spreads and covariances of a layer's responses to many images, in one pass and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lnet.runtime.data import Batch
from lnet.runtime.engine.network import Network

from .neurons import Array, values_of

MOST_UNITS = 2048
"""Covariances are taken over at most so many units, evenly spaced."""


@dataclass(frozen=True)
class Moments:
    """Of each neuron `[row, column, map]`: means and variances by class, `[..., class]`, and energy.

    `counts`: images of each class (one class without labels). `energy`: the mean absolute response. `covariance`: of
    at most `MOST_UNITS` of them, evenly spaced.
    """

    counts: Array
    means: Array
    variances: Array
    energy: Array
    covariance: Array

    @property
    def overall(self) -> tuple[Array, Array]:
        """Mean and variance over all images."""
        share = self.counts / self.counts.sum()
        mean = self.means @ share
        variance = self.variances @ share + np.square(self.means - mean[..., None]) @ share
        return mean, variance

    @property
    def dprime(self) -> Array:
        """How far each class lies above all others, in the root of their mean variance: `[row, column, map, class]`.

        0 for a neuron that never varies, and NaN for a class that has no images, or all of them.
        """
        mean, variance = self.overall
        total, own = self.counts.sum(), self.counts
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = (mean[..., None] * total - self.means * own) / (total - own)
            squares = ((variance + mean**2)[..., None] * total - (self.variances + self.means**2) * own) / (
                total - own
            )
            spread = np.sqrt((self.variances + np.maximum(squares - rest**2, 0)) / 2)
            found = np.where(spread > 0, (self.means - rest) / spread, 0)
        found[..., (own == 0) | (own == total)] = np.nan
        return found

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
    counts, energy = np.zeros(classes), np.zeros(shape)
    sums, squares = np.zeros((*shape, classes)), np.zeros((*shape, classes))
    totals, products = np.zeros(len(units)), np.zeros((len(units), len(units)))
    first: Array | None = (
        None  # responses are taken relative to the first image's, so that squares lose no digits
    )
    for batch in batches:
        values = values_of(network, path, batch.images).astype(np.float64)
        labels = np.zeros(len(values), int) if classes == 1 or batch.labels is None else batch.labels
        if first is None:
            first = values[0].copy()
        energy += np.abs(values).sum(0)
        values -= first
        belongs = np.eye(classes)[labels]
        counts += belongs.sum(0)
        sums += np.einsum("nijm,nc->ijmc", values, belongs, optimize=True)
        squares += np.einsum("nijm,nc->ijmc", np.square(values), belongs, optimize=True)
        some = values.reshape(len(values), -1)[:, units]
        totals += some.sum(0)
        products += some.T @ some
    total = max(counts.sum(), 1)
    means = sums / np.maximum(counts, 1)
    variances = np.maximum(squares / np.maximum(counts, 1) - means**2, 0)
    covariance = products / total - np.outer(totals, totals) / total**2
    if first is not None:
        means = np.where(counts > 0, means + first[..., None], 0)
    return Moments(counts, means, variances, energy / total, covariance)
