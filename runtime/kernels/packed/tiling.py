"""Tilings: the positions of an untied layer, cut into tiles that are one product each.

    one axis, stride 1, field 3, 7 outputs, tile 3            tiles of rows            tiles of columns
    outputs   0 1 2 | 3 4 5 | 6                               0 1 2 | 3 4 5            0 1 2 | 3 4 5 | 6 . .
    inputs    0 . . . 4                                                4 5 6
                    3 . . . 7

Rows are cut so that the last tile overlaps the one before it: weights are read in place, row by row. Columns are
padded, because the tiles of a row form one batched product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2, sqrt

from lnet.compiler.core.shapes import Slide, Window
from lnet.runtime.kernels.products import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Choice, Product

from .plain import Layers


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a layer, cut into tiles of `tile` outputs; a tile reads `union` inputs."""

    slide: Slide
    tile: int

    @property
    def tiles(self) -> int:
        return -(-self.slide.outputs // self.tile)

    @property
    def step(self) -> int:
        """Inputs from one tile to the next."""
        return self.tile * self.slide.stride

    @property
    def union(self) -> int:
        return (self.tile - 1) * self.slide.stride + self.slide.field

    @property
    def blocks(self) -> int:
        """Number of steps that a union spans."""
        return -(-self.union // self.step)

    @property
    def width(self) -> int:
        """Inputs of all tiles, padded ones included, in whole steps."""
        return (self.tiles + self.blocks - 1) * self.step


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tiling of a layer, rows and columns."""

    rows: Axis
    columns: Axis

    @property
    def positions(self) -> int:
        """Positions of a tile."""
        return self.rows.tile * self.columns.tile

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros around the inputs, rows and columns; negative where no output reads the last ones."""
        rows, columns = self.rows, self.columns
        return (
            (rows.slide.before, rows.slide.reach - rows.slide.before - rows.slide.extent),
            (columns.slide.before, columns.width - columns.slide.before - columns.slide.extent),
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """Cost of a product form on a device: microseconds per row of tiles, nanoseconds per value moved, GFLOP/s.

    `packed` for a packed weight, `patch` for a value of a patch; `gflops` at products 8, 16, ... 512 columns wide.
    """

    row: float
    packed: float
    patch: float
    gflops: tuple[float, ...]

    def milliseconds(self, tiling: Tiling, maps_in: int, maps: int, batch: int) -> float:
        """Return the predicted time of all rows of tiles, in milliseconds."""
        rows, columns = tiling.rows, tiling.columns
        tiles, inputs = rows.tiles * columns.tiles, rows.union * columns.union * maps_in
        width = tiling.positions * maps
        arithmetic = 2e-6 * tiles * inputs * width * batch
        seldom = max(1.0, sqrt(32 / batch))  # narrow batches run slower
        moved = self.packed * tiles * inputs * width + self.patch * tiles * inputs * batch
        return self.row * rows.tiles * 1e-3 + moved * 1e-6 + arithmetic * seldom / self._rate(width)

    def _rate(self, width: int) -> float:
        place = min(max(log2(width / 8), 0.0), len(self.gflops) - 1.0)
        below = min(int(place), len(self.gflops) - 2)
        share = place - below
        return 1 / ((1 - share) / self.gflops[below] + share / self.gflops[below + 1])


PACKED, TURNED = ("packed", "packed, patches transposed")
CPU = {
    (FORWARD, PACKED): Rates(40, 0.474, 0.346, (250, 233, 123, 114, 123, 113, 82)),
    (FORWARD, TURNED): Rates(57, 0.354, 0.864, (250, 252, 177, 134, 178, 147, 126)),
    (INPUT_GRADIENT, PACKED): Rates(106, 0.468, 0.370, (250, 203, 171, 133, 185, 149, 176)),
    (WEIGHT_GRADIENT, PACKED): Rates(42, 0.367, 0.332, (250, 250, 249, 184, 166, 156, 196)),
}
"""Fitted to times of seven layers in eight tilings each on two cores of a server (docs/performance.md)."""

SIDES = (1, 2, 4)
COMPILED = 0.02
"""Milliseconds that a position of a tile must save to be worth its operation, which XLA has to compile."""


def choices(product: Product) -> Iterator[Choice]:
    """Yield the candidate tilings of an untied product, with predicted times; of the plain layers that it is made of."""
    layers = Layers(product)
    plain = layers.plain
    for (gives, form), rates in CPU.items():
        if gives != product.gives:
            continue
        for rows in SIDES:
            for columns in SIDES:
                if rows <= columns <= 2 * rows or rows == 1:
                    tiling = tile_by(plain.window, rows, columns)
                    shape = (tiling.rows.tile, tiling.columns.tile)
                    time = rates.milliseconds(tiling, plain.maps_in, plain.maps, plain.batch)
                    yield Choice(form, shape, layers.count * time + COMPILED * tiling.positions)


def tile_by(window: Window, rows: int, columns: int) -> Tiling:
    """Return the tiling into tiles of at most `rows` x `columns` positions."""
    return Tiling(
        Axis(window.rows, min(rows, window.rows.outputs)),
        Axis(window.columns, min(columns, window.columns.outputs)),
    )
