"""Principal components of images, from which pictures that look like photographs are composed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lnet.dsl.diagnostics import refused
from lnet.runtime.data import Batch

from .neurons import Array

IMAGES = 10
"""Images that are taken for each component."""


@dataclass(frozen=True)
class Components:
    """The mean of images, and the directions of their largest variance.

    `mean` `[row, column, channel]`; `axes` `[component, row, column, channel]`, the widest first, each as long as the
    images' standard deviation along it; computed from `images` images, of whose variance they hold `share`.
    """

    mean: Array
    axes: Array
    images: int
    share: float

    def __len__(self) -> int:
        return len(self.axes)

    def coordinates(self, image: Array) -> Array:
        """Return the coordinates of an image, in standard deviations from the mean along each axis: `[component]`."""
        axes = self.axes.reshape(len(self), -1)
        lengths = np.square(axes).sum(1)
        along: Array = axes @ (image - self.mean).ravel() / np.where(lengths > 0, lengths, 1)
        return along


def principal_components(batches: Iterable[Batch], count: int) -> Components:
    """Return `count` principal components of the first `10 * count` images of `batches`, or of all if there are fewer.

    Of n images there are at most n - 1. Raises `LnetError` for a number that is not positive.
    """
    if count < 1:
        raise refused("E780", f"the number of components must be positive, found {count}")
    images = _first(batches, IMAGES * count)
    mean = images.mean(0)
    images -= mean
    flat = images.reshape(len(images), -1)
    # The eigenvectors of the images' Gram matrix give those of their covariance, which would have pixels x pixels values.
    variances, mixtures = np.linalg.eigh(flat @ flat.T / len(flat))
    widest = np.argsort(-variances)[: min(count, len(flat) - 1)]
    axes = mixtures[:, widest].T @ flat / np.sqrt(len(flat))
    share = float(variances[widest].sum() / (variances.sum() or 1))
    return Components(mean, axes.reshape(-1, *mean.shape), len(flat), share)


def _first(batches: Iterable[Batch], count: int) -> Array:
    found: list[Array] = []
    for batch in batches:
        found.append(batch.images[: count - sum(map(len, found))])
        if sum(map(len, found)) == count:
            break
    return np.concatenate(found)
