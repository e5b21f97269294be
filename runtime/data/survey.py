"""A look at images that no network reads yet: how many, their sizes, colours and labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import DataError

from .dataset import Dataset, open_frames
from .labels import unit_count
from .pixels import Pixels

LOOKED = 64
"""Images that are decoded, at equal distances among all."""
GREY = 8 / 255
"""The largest difference between the channels of a pixel that counts as grey: JPEG rounds colours."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is: the number of images, and of those looked at; `least` and `most` rows and columns; the median `side` of
    the shorter sides; whether all are `grey`; `labels` as `frames` takes them, the classes and the `units` that learn them.
    """

    count: int
    looked: int
    least: Size
    most: Size
    side: int
    grey: bool
    labels: str | None
    classes: tuple[str, ...]
    units: int

    @property
    def alike(self) -> bool:
        """Whether the images looked at have one size."""
        return self.least == self.most


def survey(path: str, labelled: bool = True) -> Survey:
    """Look at the images of a path, and for labels unless told not to; raises `LnetError` if there are no images."""
    data = _open(path, None)
    labels = _labels(path, data.count) if labelled else None
    places = np.unique(np.linspace(0, data.count - 1, LOOKED).astype(int)).tolist()
    found = [pixels for pixels in map(data.original, places) if pixels is not None]
    if not found:
        raise data.undecodable(len(places))
    rows, columns = zip(*(pixels.shape[:2] for pixels in found), strict=True)
    return Survey(
        data.count,
        len(found),
        Size(min(rows), min(columns)),
        Size(max(rows), max(columns)),
        int(median(map(min, rows, columns))),
        all(map(_is_grey, found)),
        None if labels is None else labels[0],
        () if labels is None else labels[1],
        0 if labels is None else unit_count(labels[1]),
    )


def _open(path: str, labels: str | None) -> Dataset:
    return open_frames(Frames(path, Size(1, 1), labels=labels), 3, Path.cwd(), 0)


def _labels(path: str, count: int) -> tuple[str, tuple[str, ...]] | None:
    """Return how images are labelled and their classes: folders before what stands beside; None without two classes."""
    for how in ("folder", "file"):
        try:
            classes = _open(path, how).classes or ()
        except DataError:
            continue
        if 2 <= len(classes) <= count // 2:
            return how, classes
    return None


def _is_grey(pixels: Pixels) -> bool:
    values = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
    return float(np.ptp(values, axis=2).max()) <= GREY
