"""The three products of a local layer, generated for its geometry: arrays are read in place, without repacking.

`x` [rows, columns, maps in, batch], `w` [kr, kc, field rows, field columns, maps in, maps], `h` [output rows, output
columns, maps, batch]. A line of a field, its columns and maps in, is contiguous in `x` and in `w`: `k` runs over it.

    forward             h[i,j,m,b]  = sum over u, k of  w[i,j,u,k,m] * x[i s + u, j s + k, b]
    input gradient      x[y,k,b]   += sum over m of     w[i,j,u,k,m] * h[i,j,m,b]        for all i, j, u with i s + u = y
    weight gradient     w[i,j,u,k,m] = sum over b of    x[i s + u, j s + k, b] * h[i,j,m,b]

What is summed stays in registers: a block of maps by vectors of images, or, for weights, of `k` by vectors of maps. Each
value loaded serves a whole block, so arithmetic is the bound and not the loads. A task of the first product is a row of
outputs, of the second a row of inputs, of the third a row of weight sets, or a line of its fields: tasks write to
disjoint places, and each sum has one order, whichever thread computes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .llvm_ir import Function, Index, Run


@dataclass(frozen=True)
class Geometry:
    """A layer without padding; outputs `i, j` use the weights of set `i mod sets[0], j mod sets[1]`."""

    rows: int
    columns: int
    maps_in: int
    batch: int
    field_rows: int
    field_columns: int
    maps: int
    stride_rows: int
    stride_columns: int
    output_rows: int
    output_columns: int
    sets: tuple[int, int]

    @property
    def line(self) -> int:
        """Values of a field's line."""
        return self.field_columns * self.maps_in


@dataclass(frozen=True)
class Block:
    """A register block: `rows` values, each broadcast to a vector, times `vectors` vectors of `lanes` values."""

    rows: int
    vectors: int
    lanes: int


FEW = 16
"""With fewer rows than this, tasks are single positions, or lines of fields, to occupy many threads."""


def runs(extent: int, vectors: int, lanes: int) -> Iterator[Run]:
    """Cut an axis into pieces as long as possible: of whole vectors, then of narrower ones."""
    start = 0
    shapes = [(v, lanes) for v in range(vectors, 0, -1)]
    while lanes > 1:
        lanes //= 2
        shapes.append((1, lanes))
    for many, wide in shapes:
        count = (extent - start) // (many * wide)
        if count:
            yield Run(start, count, many, wide)
            start += count * many * wide


def pieces(function: Function, extent: int, vectors: int, lanes: int = 1) -> Iterator[tuple[Run, Index]]:
    """Write loops over the pieces of an axis; yield the run of each piece, and its start."""
    for run in runs(extent, vectors, lanes):
        with function.loop(0, run.count) as number:
            yield run, number * run.length + run.start


def forward(g: Geometry, block: Block, dtype: str) -> tuple[Function, int]:
    """Return the function of one task, and how many tasks there are."""
    f = Function("task", ("x", "w", "h"), "number", dtype)
    (x, w, h), task = f.arrays, f.index
    together = 1 if g.output_rows < FEW else g.output_columns
    parts = g.output_columns // together
    i, first = task // parts, task % parts * together
    for images, b in pieces(f, g.batch, block.vectors, block.lanes):
        with f.loop(first, first + together) as j:
            field = (i * g.stride_rows * g.columns + j * g.stride_columns) * g.maps_in
            weights = _set(g, i, j) * (g.field_rows * g.line * g.maps)
            for maps, m in pieces(f, g.maps, block.rows):
                sums = f.sums(maps.length, images)
                with f.loop(0, g.field_rows) as u, f.loop(0, g.line) as k:
                    values = x.load_run((field + u * (g.columns * g.maps_in) + k) * g.batch + b, images)
                    place = weights + (u * g.line + k) * g.maps + m
                    for number, of_map in enumerate(sums):
                        weight = w.spread(place + number, images.lanes)
                        for total, value in zip(of_map, values, strict=True):
                            total.add_product(weight, value)
                given = (i * g.output_columns + j) * g.maps + m
                for number, of_map in enumerate(sums):
                    h.store_run([total.get() for total in of_map], (given + number) * g.batch + b)
    return f, g.output_rows * parts


def input_gradient(g: Geometry, block: Block, dtype: str) -> tuple[Function, int]:
    """Return the function of one task, and how many tasks there are."""
    f = Function("task", ("h", "w", "x"), "number", dtype)
    (h, w, x), y = f.arrays, f.index
    row = g.columns * g.maps_in
    for zeros, place in pieces(f, row * g.batch, 1, block.lanes):
        x.store(f.zeros(zeros.lanes), y * (row * g.batch) + place)
    first = (y - (g.field_rows - g.stride_rows)).at_least(0) // g.stride_rows
    last = (y // g.stride_rows + 1).at_most(g.output_rows)
    for images, b in pieces(f, g.batch, block.vectors, block.lanes):
        with f.loop(first, last) as i, f.loop(0, g.output_columns) as j:
            u = y - i * g.stride_rows
            weights = (_set(g, i, j) * g.field_rows + u) * (g.line * g.maps)
            field = y * row + j * (g.stride_columns * g.maps_in)
            given = (i * g.output_columns + j) * g.maps
            for maps, m in pieces(f, g.maps, block.rows):
                gradients = [
                    h.load_run((given + m + number) * g.batch + b, images) for number in range(maps.length)
                ]
                with f.loop(0, g.line) as k:
                    w.prefetch(weights + (g.field_rows * g.line + k) * g.maps + m)  # the next output's
                    seen = (field + k) * g.batch + b
                    totals = x.load_run(seen, images)
                    for number, of_map in enumerate(gradients):
                        weight = w.spread(weights + k * g.maps + m + number, images.lanes)
                        totals = [
                            f.multiply_add(weight, gradient, total)
                            for gradient, total in zip(of_map, totals, strict=True)
                        ]
                    x.store_run(totals, seen)
    return f, g.rows


def weight_gradient(g: Geometry, block: Block, dtype: str) -> tuple[Function, int]:
    """Return the function of one task, and how many tasks there are. `h` is `[output rows, output columns, batch, maps]`."""
    f = Function("task", ("x", "h", "w"), "number", dtype)
    (x, h, w), task = f.arrays, f.index
    together = 1 if g.sets[0] < FEW else g.field_rows
    parts = g.field_rows // together
    row_set, first = task // parts, task % parts * together
    with f.loop(0, g.sets[1]) as column_set, f.loop(first, first + together) as u:
        line = ((row_set * g.sets[1] + column_set) * g.field_rows + u) * g.line
        for maps, m in pieces(f, g.maps, block.vectors, block.lanes):
            for values, k in pieces(f, g.line, block.rows):
                sums = f.sums(values.length, maps)
                with (
                    f.loop(row_set, g.output_rows, g.sets[0]) as i,
                    f.loop(column_set, g.output_columns, g.sets[1]) as j,
                    f.loop(0, g.batch) as b,
                ):
                    field = ((i * g.stride_rows + u) * g.columns + j * g.stride_columns) * g.maps_in
                    gradients = h.load_run(((i * g.output_columns + j) * g.batch + b) * g.maps + m, maps)
                    for number, of_value in enumerate(sums):
                        value = x.spread((field + k + number) * g.batch + b, maps.lanes)
                        for total, gradient in zip(of_value, gradients, strict=True):
                            total.add_product(value, gradient)
                for number, of_value in enumerate(sums):
                    w.store_run([total.get() for total in of_value], (line + k + number) * g.maps + m)
    return f, g.sets[0] * parts


def _set(g: Geometry, i: Index, j: Index) -> Index:
    """Return the number of the set of weights of an output; an untied layer has as many sets as outputs."""
    rows, columns = g.sets
    row = i if rows >= g.output_rows else i % rows
    column = j if columns >= g.output_columns else j % columns
    return row * columns + column
