"""Statistics of a subject's responses to a labelled set: mapped over batches while the next ones are decoded, and merged.

The set is cut into shares of several batches. A share's result is the same whichever process evaluates it, and shares are
merged in the order of the images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, TypeVar

import numpy as np

from lnet.compiler.core.shapes import Sheet
from lnet.runtime.data import Dataset, feed
from lnet.runtime.process.counted import counted
from lnet.runtime.process.precision import computing_in

from .labelled import LabelledSet
from .passes import Places, Statistic
from .subjects import Images, Subject

T = TypeVar("T")
SHARE = 8
"""Batches in a share."""


class Gallery:
    """The images of a set by number; decoded ones are cached as long as there is room."""

    def __init__(self, images: LabelledSet) -> None:
        self.images = images
        self._datasets: dict[Sheet, Dataset] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Serialize the list of images, not their pixels."""
        return Gallery, (self.images,)

    def dataset(self, sheet: Sheet) -> Dataset:
        """Return the images at a network's size, in 0..1."""
        if sheet not in self._datasets:
            self._datasets[sheet] = self.images.open(sheet)
        return self._datasets[sheet]

    def decodable(self, sheet: Sheet) -> Gallery:
        """Return the gallery without images that cannot be decoded; raises `LnetError` if all are."""
        rest = Gallery(self.images.decodable(self.dataset(sheet)))
        rest._datasets = self._datasets
        return rest


@dataclass(frozen=True)
class Pictures:
    """The images of a gallery for one subject."""

    images: LabelledSet
    dataset: Dataset

    def batch(self, first: int, count: int) -> tuple[Places, Images]:
        """Return the numbers `first` to `first + count`, or to the last one, and their images."""
        numbers = np.arange(first, min(first + count, self.images.count))
        return numbers, self.dataset.at(self.images.places[numbers].tolist()).images


def shares(gallery: Gallery, batch: int) -> list[range]:
    """Return the batches of each share."""
    batches = range(-(-gallery.images.count // batch))
    return [batches[first : first + SHARE] for first in batches[::SHARE]]


def evaluate_share(
    gallery: Gallery, subject: Subject, statistic: Statistic[T], batch: int, share: range
) -> T:
    """Return a statistic of the subject's responses to a share."""
    pictures = Pictures(gallery.images, gallery.dataset(subject.sheet))
    with feed(pictures, share.start, share.stop, batch) as parts, computing_in(subject.dtype):
        return reduce(
            statistic.merge,
            (
                statistic.map(subject.respond(filled(found, batch)), numbers)
                for numbers, found in counted("batches of images", parts, len(share))
            ),
        )


def filled(images: Images, count: int) -> Images:
    """Return images padded with blank ones to `count`, so that kernels are compiled for one batch size."""
    return np.pad(images, ((0, count - len(images)), (0, 0), (0, 0), (0, 0)))


class Evaluator(Protocol):
    """Evaluates statistics of a subject over all images of a gallery."""

    @property
    def gallery(self) -> Gallery: ...

    def evaluate(self, subject: Subject, statistic: Statistic[T]) -> T:
        """Return the statistic of the subject's responses to all images."""


@dataclass(frozen=True)
class LocalEvaluator:
    """Evaluates in this process, `batch` images at a time."""

    gallery: Gallery
    batch: int

    def evaluate(self, subject: Subject, statistic: Statistic[T]) -> T:
        found = (
            evaluate_share(self.gallery, subject, statistic, self.batch, share)
            for share in shares(self.gallery, self.batch)
        )
        return reduce(statistic.merge, found)
