"""Mean and deviation of each map of a data set, by which `normalize = dataset` has its images normalised.

They are those of the images that come first in a run's first pass, in the order in which they are stored, so that videos and
archives are read once. Parts are decoded by threads and added up in their order (Chan et al. 1983).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.graph.graph import Graph
from lnet.compiler.settings import DatasetFigures
from lnet.runtime.process.counted import counted

from .arrays import SCANNED
from .dataset import Dataset
from .feed import feed
from .order import image_at
from .pixels import stacked

MOST = 10_000
"""Number of images measured; of arrays those of a gigabyte."""
LEAST = 1e-6
"""Smaller deviations are those of a map that is the same everywhere, which is then not scaled."""
_PART = 2**22  # values in a part


def measure(samples: Dataset, graph: Graph) -> DatasetFigures:
    """Return the figures of a data set, of central windows as they are; raises `LnetError` if no image can be decoded."""
    values = graph.input.sheet.values
    most = MOST if graph.arrays is None else max(1, SCANNED // (graph.training.value_bytes * values))
    places = _first(samples, min(samples.count, most))
    batch = max(1, min(100, _PART // values))
    parts = -(-len(places) // batch)
    with feed(_Parts(samples, places), 0, parts, batch) as found:
        measured = [
            part for part in counted("images for mean and deviation", found, parts) if part is not None
        ]
    if not measured:
        raise samples.undecodable(len(places))
    return reduce(_Spread.merged, measured).figures


def _first(samples: Dataset, count: int) -> Sequence[int]:
    """Return the places of the first images of the first pass, in the order in which they are stored."""
    if count == samples.count:
        return range(count)
    return sorted(image_at(samples.order, samples.seed, 0, at, samples.count) for at in range(count))


@dataclass(frozen=True)
class _Spread:
    """Number of values of each map, their means, and sums of their squared deviations, `[map]`."""

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    def merged(self, other: _Spread) -> _Spread:
        count, apart = self.count + other.count, other.mean - self.mean
        squares = self.squares + other.squares + apart**2 * (self.count * other.count / count)
        return _Spread(count, self.mean + apart * (other.count / count), squares)

    @property
    def figures(self) -> DatasetFigures:
        deviation = np.sqrt(self.squares / self.count)
        return DatasetFigures(
            tuple(self.mean.tolist()), tuple(np.where(deviation < LEAST, 1.0, deviation).tolist())
        )


@dataclass(frozen=True)
class _Parts:
    """The spread of images by number, of those that can be decoded."""

    samples: Dataset
    places: Sequence[int]

    def batch(self, first: int, count: int) -> _Spread | None:
        found = map(self.samples.central, self.places[first : first + count])
        windows = [window for window in found if window is not None]
        if not windows:
            return None
        values = stacked(windows, self.samples.dtype).astype(np.float64).reshape(-1, windows[0].shape[-1])
        mean = values.mean(0)
        return _Spread(len(values), mean, np.square(values - mean).sum(0))
