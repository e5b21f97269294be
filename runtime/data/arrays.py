"""Images that are in memory already, in the order that a run draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.shapes import Sheet
from lnet.dsl.diagnostics import refused

from .contents import Contents
from .dataset import Batch, permutation


class ArrayDataset:
    """Images `[n, rows, columns, channels]` as they are: normalised by whoever made them, never cropped or mirrored."""

    classes = None
    unmatched: tuple[str, ...] = ()

    def __init__(self, images: NDArray[Any], sheet: Sheet, seed: int) -> None:
        expected = (sheet.height, sheet.width, sheet.maps)
        if images.ndim != 4 or images.shape[1:] != expected or not len(images):
            raise refused(
                "E704",
                f"expected images [n, {sheet.height}, {sheet.width}, {sheet.maps}], found {list(images.shape)}",
            )
        self._images, self._seed = images, seed
        self.skipped: dict[str, str] = {}
        self.contents = Contents(self.count, None)

    @property
    def count(self) -> int:
        return len(self._images)

    def batch(self, first: int, count: int) -> Batch:
        """Return samples `first` to `first + count` of the run."""
        numbers = range(first, first + count)
        places = [int(permutation(self._seed, n // self.count, self.count)[n % self.count]) for n in numbers]
        return Batch(self._images[places].astype(np.float32), None, tuple(f"[{place}]" for place in places))
