"""Cosines of neighbouring units' weights and their gradient, generated for a layer's sheet: weights are read in place.

`w` [rows, columns, values, maps] holds the weights of a position's units. `side` [rows + 2, columns + 2, 1 + biases, maps]
holds for every position, and for those around the sheet, the scale of each unit's vector (one over its length, or zero
where nobody is compared with it) and its biases. With `u` a unit's vector at length 1 and `s` the sum of its neighbours',
the result [rows, columns, values + biases + 1, maps] is `(s - u (u.s)) / length`, the gradient of the sum of cosines with
a unit's neighbours, and in its last line `u.s`, that sum.

A unit's neighbour within its patch is so many maps further in the same line of `w`. Beyond the patch it is as far back in
the position next to it. So a patch is computed in up to nine parts, which differ in where neighbours are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .llvm_ir import Array, Function, Index
from .products import FEW, pieces

BESIDE = ((0, -1), (0, 1), (-1, 0), (1, 0))
ACROSS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
HERE = (0, 0)


@dataclass(frozen=True)
class Units:
    """A layer's sheet: patches of so many rows and columns of units, the same for each of `sheets`."""

    rows: int
    columns: int
    values: int
    biases: int
    patch: tuple[int, int]
    sheets: int
    neighbours: int

    @property
    def maps(self) -> int:
        return self.patch[0] * self.patch[1] * self.sheets


@dataclass(frozen=True)
class Part:
    """Units `start` to `stop` of a patch's axis, which have their neighbours in the same places."""

    start: int
    stop: int
    extent: int

    def neighbour(self, step: int) -> tuple[int, int]:
        """Return how many positions further a neighbour is, and how many units further in the patch."""
        beyond = (step < 0 and self.start == 0) or (step > 0 and self.stop == self.extent)
        return (step, step - step * self.extent) if beyond else (0, step)


def parts(extent: int) -> Iterator[Part]:
    """Cut an axis of a patch into its first unit, those between, and the last."""
    bounds = sorted({0, min(1, extent), max(0, extent - 1), extent})
    yield from (Part(start, stop, extent) for start, stop in pairwise(bounds))


def likeness(g: Units, lanes: int, dtype: str) -> tuple[Function, int]:
    """Return the function of one task, and how many tasks there are: patches, or rows of units where patches are few."""
    f = Function("task", ("w", "side", "out"), "number", dtype)
    (w, side, out), task = f.arrays, f.index
    together = 1 if g.rows * g.columns < FEW else g.patch[0]
    cut = g.patch[0] // together
    position, first = task // cut, task % cut * together
    i, j = position // g.columns, position % g.columns
    ways = BESIDE if g.neighbours == 4 else BESIDE + ACROSS
    around = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    weights = {
        (down, right): ((i + down % g.rows) % g.rows * g.columns + (j + right % g.columns) % g.columns)
        * (g.values * g.maps)
        for down, right in around
    }
    sides = {
        (down, right): ((i + (1 + down)) * (g.columns + 2) + (j + (1 + right))) * ((1 + g.biases) * g.maps)
        for down, right in around
    }
    gradient = position * ((g.values + g.biases + 1) * g.maps)
    cosines = gradient + (g.values + g.biases) * g.maps
    width = g.patch[1] * g.sheets

    def lines() -> Iterator[tuple[Array, dict[tuple[int, int], Index], Index]]:
        """Write loops over the values of a unit: where each is, here and in the positions around, and its gradient."""
        with f.loop(0, g.values) as value:
            yield (
                w,
                {way: start + value * g.maps for way, start in weights.items()},
                gradient + value * g.maps,
            )
        if g.biases:
            with f.loop(0, g.biases) as bias:
                places = {way: start + (bias + 1) * g.maps for way, start in sides.items()}
                yield side, places, gradient + (bias + g.values) * g.maps

    for run, at in pieces(f, together * width, 1, lanes):
        out.store(f.zeros(run.lanes), cosines + first * width + at)
    for array, places, result in lines():
        for rows in parts(g.patch[0]):
            with f.loop(first.at_least(rows.start), (first + together).at_most(rows.stop)) as row:
                for columns in parts(g.patch[1]):
                    for run, along in pieces(f, (columns.stop - columns.start) * g.sheets, 1, lanes):
                        at = row * width + columns.start * g.sheets + along
                        near = f.zeros(run.lanes)
                        for down, right in ways:
                            (below, rows_on), (beside, columns_on) = (
                                rows.neighbour(down),
                                columns.neighbour(right),
                            )
                            where = at + (rows_on * width + columns_on * g.sheets)
                            value = array.load(places[below, beside] + where, run.lanes)
                            near = f.multiply_add(
                                value, side.load(sides[below, beside] + where, run.lanes), near
                            )
                        own = f.multiply(
                            array.load(places[HERE] + at, run.lanes), side.load(sides[HERE] + at, run.lanes)
                        )
                        total = out.load(cosines + at, run.lanes)
                        out.store(f.multiply_add(own, near, total), cosines + at)
                        out.store(near, result + at)
    for array, places, result in lines():
        for run, along in pieces(f, together * width, 1, lanes):
            at = first * width + along
            scale = side.load(sides[HERE] + at, run.lanes)
            own = f.multiply(array.load(places[HERE] + at, run.lanes), scale)
            toward = f.multiply(own, out.load(cosines + at, run.lanes))
            away = f.subtract(out.load(result + at, run.lanes), toward)
            out.store(f.multiply(away, scale), result + at)
    return f, g.rows * g.columns * cut
