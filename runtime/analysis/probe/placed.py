"""A network's readout of objects at n x n places of its field.

the field, grey           n = 3, an object of a third of the field

.--------------.          places stand evenly from edge to edge: place k begins at
| o            |          k (field - object) / (n - 1) pixels, rounded
|       o      |
|            o |
'--------------'
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Sheet, Size
from lnet.runtime.analysis.neurons import check_finite

from .passes import Array, Places
from .subjects import Images, Neurons, Responses


@dataclass(frozen=True)
class Grid:
    """`count` x `count` places of a field for objects of `size`, all in pixels; `background` is 0 (black) to 1 (white)."""

    count: int
    field: Size
    size: Size
    background: float

    @property
    def places(self) -> Iterator[tuple[int, int]]:
        """The rows and columns of the grid."""
        return ((row, column) for row in range(self.count) for column in range(self.count))

    def placed(self, objects: Images, row: int, column: int) -> Images:
        """Return objects `[n, rows, columns, channels]` at one place of their fields."""
        shape = (len(objects), self.field.rows, self.field.columns, objects.shape[-1])
        fields = np.full(shape, self.background, np.float32)
        top = self._first(row, self.field.rows - self.size.rows)
        left = self._first(column, self.field.columns - self.size.columns)
        fields[:, top : top + self.size.rows, left : left + self.size.columns] = objects
        return fields

    def _first(self, place: int, room: int) -> int:
        """Return the first pixel of a place along an axis; a lone place is in the middle."""
        return room // 2 if self.count == 1 else round(place * room / (self.count - 1))


@dataclass(frozen=True)
class Placed:
    """The neurons of a network, shown each image at all places of a grid: groups are `LAYER at ROW, COLUMN`."""

    neurons: Neurons
    grid: Grid

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.grid.size.rows, self.grid.size.columns, self.neurons.sheet.maps)

    @property
    def dtype(self) -> str:
        return self.neurons.dtype

    def respond(self, images: Images) -> Responses:
        return {
            group(layer, row, column): responses
            for row, column in self.grid.places
            for layer, responses in self.neurons.respond(self.grid.placed(images, row, column)).items()
        }

    def name(self, group: str, unit: int) -> str:
        return f"{group}, {unit}"


def group(layer: str, row: int, column: int) -> str:
    """Return the name of a layer's group of neurons at a place."""
    return f"{layer} at {row}, {column}"


@dataclass(frozen=True)
class Right:
    """How many images of each label have the highest response at the unit of their class: `[label]`.

    `labels` and `units` `[image]`: the number of an image's label, and of the unit that learned it; of equal responses the
    first unit counts.
    """

    labels: NDArray[np.int64]
    units: NDArray[np.int64]
    count: int

    def map(self, responses: Responses, numbers: Places) -> dict[str, Array]:
        return {name: self._right(name, np.asarray(scores), numbers) for name, scores in responses.items()}

    def _right(self, name: str, scores: Array, numbers: Places) -> Array:
        shown = scores[:, : len(numbers)]
        check_finite(name, shown)
        right = shown.argmax(0) == self.units[numbers]
        return np.bincount(self.labels[numbers][right], minlength=self.count)

    def merge(self, one: dict[str, Array], other: dict[str, Array]) -> dict[str, Array]:
        return {name: count + other[name] for name, count in one.items()}
