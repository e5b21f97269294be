"""The images of a labelled set, shown to a subject batch by batch, while the next ones are decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import Protocol, TypeVar

import numpy as np

from lnet.compiler.shapes import Sheet
from lnet.runtime.data import Dataset, feed

from .labelled import LabelledSet
from .neurons import Pass, Places
from .subjects import Images, Subject

T = TypeVar("T")


class Sweep(Protocol):
    """Whatever shows all images of a set to a subject."""

    def run(self, subject: Subject, look: Pass[T]) -> T:
        """Return the result of a pass."""


@dataclass(frozen=True)
class LocalSweep:
    """In this process, `batch` images at a time; what is decoded is kept as long as there is room."""

    images: LabelledSet
    batch: int
    opened: dict[Sheet, Dataset] = field(default_factory=dict)

    def run(self, subject: Subject, look: Pass[T]) -> T:
        if subject.sheet not in self.opened:
            self.opened[subject.sheet] = self.images.open(subject.sheet)
        pictures = Pictures(self.images, self.opened[subject.sheet])
        with feed(pictures, 0, -(-self.images.count // self.batch), self.batch) as batches:
            return reduce(
                look.join,
                (
                    look.look(subject.respond(filled(found, self.batch)), numbers)
                    for numbers, found in batches
                ),
            )


@dataclass(frozen=True)
class Pictures:
    """The images of a set by their numbers in it."""

    images: LabelledSet
    dataset: Dataset

    def batch(self, first: int, count: int) -> tuple[Places, Images]:
        """Return the numbers `first` to `first + count`, as far as there are so many, and their images."""
        numbers = np.arange(first, min(first + count, self.images.count))
        return numbers, self.dataset.at(self.images.places[numbers].tolist()).images


def filled(images: Images, count: int) -> Images:
    """Return images with blank ones behind them, so that kernels are compiled for one size of batch."""
    return np.pad(images, ((0, count - len(images)), (0, 0), (0, 0), (0, 0)))
