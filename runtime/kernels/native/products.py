"""The three products of a local layer, generated for its geometry: arrays are read in place, without repacking.

`x` [rows, columns, maps in, batch], `w` [kr, kc, field rows, field columns, maps in, maps], `h` [output rows, output
columns, maps, batch]. A line of a field, its columns and maps in, is contiguous in `x` and in `w`: `k` runs over it.

    forward             h[i,j,m,b]  = sum over u, k of  w[i,j,u,k,m] * x[i s + u, j s + k, b]
    input gradient      x[y,k,b]   += sum over m of     w[i,j,u,k,m] * h[i,j,m,b]        for all i, j, u with i s + u = y
    weight gradient     w[i,j,u,k,m] = sum over b of    x[i s + u, j s + k, b] * h[i,j,m,b]

A dilated field's columns lie apart in `x`, and so do the maps of a group: then a line is in several pieces, one for each
column, and `k` runs over the pieces. With dilation `d`, read `u d` and `v d` for `u` and `v` where a place in `x` is meant.

What is summed stays in registers: a block of maps by vectors of images, or, for weights, of `k` by vectors of maps. Each
value loaded serves a whole block, so arithmetic is the bound and not the loads. A task of the first product is a row of
outputs, of the second a row of inputs, of the third a row of weight sets, or a line of its fields: tasks write to
disjoint places, and each sum has one order, whichever thread computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd

from .llvm_ir import Function, Index, Run


@dataclass(frozen=True)
class Geometry:
    """A layer without padding; output `i` of an axis uses the weights of set `(i + lead) // block mod sets`."""

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
    dilation_rows: int = 1
    dilation_columns: int = 1
    groups: int = 1
    block: tuple[int, int] = (1, 1)
    lead: tuple[int, int] = (0, 0)

    @property
    def reads(self) -> int:
        """Maps that a group reads."""
        return self.maps_in // self.groups

    @property
    def makes(self) -> int:
        """Maps that a group makes."""
        return self.maps // self.groups

    @property
    def line(self) -> int:
        """Weights of a field's line."""
        return self.field_columns * self.reads

    @property
    def pieces(self) -> int:
        """How many pieces a field's line is in."""
        return self.field_columns if self.groups > 1 or self.dilation_columns > 1 else 1

    @property
    def piece(self) -> int:
        """Values of a piece of a line."""
        return self.line // self.pieces

    @property
    def apart(self) -> int:
        """Values from one piece of a line to the next."""
        return self.dilation_columns * self.maps_in


@dataclass(frozen=True)
class Block:
    """A register block: `rows` values, each broadcast to a vector, times `vectors` vectors of `lanes` values."""

    rows: int
    vectors: int
    lanes: int


Writer = Callable[[Geometry, Block, str], tuple[Function, int]]
"""Makes the function of a product for a type of values, and the number of its tasks."""

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


@contextmanager
def each(function: Function, count: int) -> Iterator[Index | int]:
    """Write a loop, or its body alone if it would be done once."""
    if count == 1:
        yield 0
    else:
        with function.loop(0, count) as number:
            yield number


def forward(g: Geometry, block: Block, dtype: str) -> tuple[Function, int]:
    """Return the function of one task, and how many tasks there are."""
    f = Function("task", ("x", "w", "h"), "number", dtype)
    (x, w, h), task = f.arrays, f.index
    together = 1 if g.output_rows < FEW else g.output_columns
    parts = g.output_columns // together
    i, first = task // parts, task % parts * together
    for images, b in pieces(f, g.batch, block.vectors, block.lanes):
        with f.loop(first, first + together) as j, each(f, g.groups) as group:
            corner = (i * g.stride_rows * g.columns + j * g.stride_columns) * g.maps_in
            field, own = corner + group * g.reads, group * g.makes
            weights = _set(g, i, j) * (g.field_rows * g.line * g.maps)
            for maps, of_group in pieces(f, g.makes, block.rows):
                sums, m = f.sums(maps.length, images), of_group + own
                with f.loop(0, g.field_rows) as u, each(f, g.pieces) as v, f.loop(0, g.piece) as k:
                    line = field + u * (g.dilation_rows * g.columns * g.maps_in) + v * g.apart
                    values = x.load_run((line + k) * g.batch + b, images)
                    place = weights + (u * g.line + v * g.piece + k) * g.maps + m
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
    first, last, step = _readers(g, y)
    for images, b in pieces(f, g.batch, block.vectors, block.lanes):
        with (
            f.loop(first, last, step) as i,
            f.loop(0, g.output_columns) as j,
            each(f, g.groups) as group,
        ):
            u = (y - i * g.stride_rows) // g.dilation_rows
            weights = (_set(g, i, j) * g.field_rows + u) * (g.line * g.maps)
            field = y * row + j * (g.stride_columns * g.maps_in) + group * g.reads
            given = (i * g.output_columns + j) * g.maps
            for maps, of_group in pieces(f, g.makes, block.rows):
                m = of_group + group * g.makes
                gradients = [
                    h.load_run((given + m + number) * g.batch + b, images) for number in range(maps.length)
                ]
                with each(f, g.pieces) as v, f.loop(0, g.piece) as k:
                    place = (k + v * g.piece) * g.maps
                    w.prefetch(weights + g.field_rows * g.line * g.maps + place + m)  # the next output's
                    seen = (field + v * g.apart + k) * g.batch + b
                    totals = x.load_run(seen, images)
                    for number, of_map in enumerate(gradients):
                        weight = w.spread(weights + place + m + number, images.lanes)
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
    with (
        f.loop(0, g.sets[1]) as column_set,
        f.loop(first, first + together) as u,
        each(f, g.groups) as group,
    ):
        line = ((row_set * g.sets[1] + column_set) * g.field_rows + u) * g.line
        for maps, of_group in pieces(f, g.makes, block.vectors, block.lanes):
            m = of_group + group * g.makes
            for values, k in pieces(f, g.line, block.rows):
                sums = f.sums(values.length, maps)
                offsets = [_offset(g, k, number) for number in range(values.length)]
                with (
                    f.loop(*_users(g, 0, row_set)) as i,
                    f.loop(*_users(g, 1, column_set)) as j,
                    f.loop(0, g.batch) as b,
                ):
                    top = i * g.stride_rows + u * g.dilation_rows
                    field = (top * g.columns + j * g.stride_columns) * g.maps_in + group * g.reads
                    gradients = h.load_run(((i * g.output_columns + j) * g.batch + b) * g.maps + m, maps)
                    for offset, of_value in zip(offsets, sums, strict=True):
                        value = x.spread((field + offset) * g.batch + b, maps.lanes)
                        for total, gradient in zip(of_value, gradients, strict=True):
                            total.add_product(value, gradient)
                for number, of_value in enumerate(sums):
                    w.store_run([total.get() for total in of_value], (line + k + number) * g.maps + m)
    return f, g.sets[0] * parts


def _set(g: Geometry, i: Index, j: Index) -> Index:
    """Return the number of the set of weights of an output; an untied layer has as many sets as outputs."""
    row, column = _of_axis(g, 0, i, g.output_rows), _of_axis(g, 1, j, g.output_columns)
    return row * g.sets[1] + column


def _of_axis(g: Geometry, axis: int, output: Index, outputs: int) -> Index:
    if g.block[axis] > 1:  # there are as many sets as blocks
        return (output + g.lead[axis]) // g.block[axis]
    return output if g.sets[axis] >= outputs else output % g.sets[axis]


def _users(g: Geometry, axis: int, of_set: Index) -> tuple[Index, Index | int, int]:
    """Return the first output of an axis that uses a set, the end, and the step from one to the next."""
    outputs = (g.output_rows, g.output_columns)[axis]
    block, lead = g.block[axis], g.lead[axis]
    if block == 1:
        return of_set, outputs, g.sets[axis]
    first = of_set * block - lead
    return first.at_least(0), (first + block).at_most(outputs), 1


def _readers(g: Geometry, y: Index) -> tuple[Index, Index, int]:
    """Return the first row `i` of outputs with `i s + u d = y` for some `u`, the end, and the step from one to the next.

    With `s = common * s'` and `d = common * d'`, there is none unless `common` divides y; else `i` is that of
    `i s' = y / common` modulo `d'`.
    """
    span, stride = g.dilation_rows * (g.field_rows - 1) + 1, g.stride_rows
    first = (y - (span - stride)).at_least(0) // stride
    last = (y // stride + 1).at_most(g.output_rows)
    if g.dilation_rows == 1:
        return first, last, 1
    common = gcd(stride, g.dilation_rows)
    step = g.dilation_rows // common
    fitting = y // common * pow(stride // common, -1, step) % step
    none = y % common * g.output_rows  # 0, or so many that nothing is left
    return first + (fitting + step - first % step) % step, last - none, step


def _offset(g: Geometry, k: Index, number: int) -> Index:
    """Return where value `k + number` of a line stands in `x`, from the line's first on."""
    at = k + number
    return at if g.pieces == 1 else at // g.piece * g.apart + at % g.piece
