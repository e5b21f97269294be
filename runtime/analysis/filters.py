"""Filters as pictures, and the fraction of oriented ones.

A filter that has become an edge or a bar holds its energy at one orientation: its Fourier transform has two opposite
peaks. Noise spreads its energy over all orientations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any]]
AT_ONCE = 2**15
"""Values of Fourier transforms that are in memory together."""


def filter_image(filters: Array) -> Array:
    """Return filters `[n, rows, columns, channels]` as pictures `[n, rows, columns, 3]` in 0..1, zero as grey.

    Each is scaled by its largest weight. Channels beyond three are shown by their strongest (its sign kept).
    """
    largest = np.abs(filters).max((1, 2, 3), keepdims=True)
    scaled = 0.5 + 0.5 * filters / np.where(largest > 0, largest, 1)
    if filters.shape[-1] == 3:
        return scaled
    strongest = np.abs(filters).sum((1, 2)).argmax(-1)
    return np.repeat(scaled[np.arange(len(filters)), :, :, strongest, None], 3, axis=-1)


def mosaic(weight: Array, map_: int, most: int = 24) -> Array:
    """Return the filters of one map in their positions as one picture `[rows, columns, 3]` in 0..1.

    `weight` is `[kr, kc, field rows, field columns, channels, maps]`. Of more than `most` positions along an axis
    evenly spaced ones are shown.
    """
    chosen = weight[_spread(weight.shape[0], most)][:, _spread(weight.shape[1], most)]
    rows, columns, height, width = chosen.shape[:4]
    pictures = filter_image(chosen[..., map_].reshape(rows * columns, height, width, -1))
    page = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, 3))
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = row * (height + 1) + 1, column * (width + 1) + 1
        page[top : top + height, left : left + width] = picture
    return page


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def orientation(filters: Array) -> Array:
    """Return the orientation selectivity of each filter `[n, rows, columns, channels]`: `[n]` from 0 to 1.

    1 for a grating and near 0 where all orientations are equal.
    """
    length: Array = np.abs(resultant(filters))
    return length


def resultant(filters: Array) -> Complex:
    """Return the resultant of the orientations of each filter's Fourier energy: `[n]`, complex, of length 0 to 1.

    Its angle is twice that of the wave, from right to down (doubled angles: Mardia & Jupp, *Directional Statistics*,
    2000, section 2.3). Of several channels the one with the most energy counts; the mean is removed first, because it
    has no orientation.
    """
    few = max(1, AT_ONCE // _extent(filters) ** 2)
    return np.concatenate([_resultant(filters[at : at + few]) for at in range(0, len(filters), few)])


def _extent(filters: Array) -> int:
    """Return the rows, and columns, of the filters' Fourier transforms."""
    return 2 * int(max(filters.shape[1:3]))


def _resultant(filters: Array) -> Complex:
    filters = filters - filters.mean((1, 2), keepdims=True)
    strongest = (filters**2).sum((1, 2)).argmax(-1)
    planes = filters[np.arange(len(filters)), :, :, strongest]
    size = _extent(filters)
    energy = np.abs(np.fft.fft2(planes, (size, size))) ** 2
    frequency = np.fft.fftfreq(size)
    down, right = frequency[:, None], frequency[None, :]
    inside = (down**2 + right**2 <= 0.25) & ((down != 0) | (right != 0))  # a disc favours no orientation
    direction = np.exp(2j * np.arctan2(down, right)) * inside
    total = (energy * inside).sum((1, 2))
    found: Complex = (energy * direction).sum((1, 2)) / np.where(total > 0, total, 1)
    return found


def oriented_fraction(filters: Array, seed: int = 0) -> tuple[float, float]:
    """Return the fraction of filters that are more selective for one orientation than noise, and the threshold.

    The threshold is what one in a hundred filters of the same shape, drawn from a normal distribution, exceeds.
    """
    noise = np.random.default_rng(seed).standard_normal((2000, *filters.shape[1:]))
    threshold = float(np.quantile(orientation(noise), 0.99))
    return float((orientation(filters) > threshold).mean()), threshold


def flat(weight: Array) -> Array:
    """Return the filters of all positions and maps: `[n, rows, columns, channels]`."""
    return np.moveaxis(weight, -1, 2).reshape(-1, *weight.shape[2:5])
