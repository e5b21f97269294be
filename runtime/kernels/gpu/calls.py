"""The three products of an untied layer on a GPU, in Pallas for its Triton compiler.

A program of a kernel makes the outputs of a tile of neighbouring positions as one product, like packed/, but no array is
packed: each tile gathers the weights of its positions from where they lie, zeros outside each one's own field, so every
weight is read once for a block of images, and there are no patches. A tile of inputs gathers its gradient likewise, from
all positions that read it, so that nothing is added up in memory and sums always have one order.

    forward             h  [m, B] = weights' [k, m] @ x [k, B]      m: positions of a tile, k: their inputs
    input gradient      dx [m, B] = weights' [k, m] @ h [k, B]      m: inputs of a tile, k: positions that read them
    weight gradient     dw [k, m] = x [k, B] @ h' [m, B]            k: inputs of a tile, m: its positions

Where a program is lowered for a CPU, JAX interprets the kernels: slow, and for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from lnet.runtime.kernels.linear import alike
from lnet.runtime.kernels.products import (
    FORWARD,
    INPUT_GRADIENT,
    WEIGHT_GRADIENT,
    Product,
    exactness,
    rounded,
)

from .places import Index, Places, blocks, size, unravelled

Shape = tuple[int, ...]
Ref = Any
Store = Callable[[Ref, Index, Index, jax.Array], None]
"""Stores values in places of an array, where they are inside."""


def forward(x: jax.Array, weight: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """`[rows, columns, maps in, batch]` to `[output rows, output columns, maps, batch]`."""
    at = Places(product, x.shape[-1])
    down, across, maps, steps, images, warps = shape
    lines = at.rows.read_by(down)
    pieces = blocks(at.columns.read_by(across) * product.of_group[0], steps)
    grid = _grid(at, *_tiles(at, shape), blocks(at.batch, images))

    def kernel(store: Store, x_ref: Ref, weight_ref: Ref, h_ref: Ref) -> None:
        *numbers, part = unravelled(pl.program_id(0), *grid)
        tile = _Tile.of(at, shape, numbers)
        image, there = _images(part, images, at.batch)

        def step(number: Index, total: jax.Array) -> jax.Array:
            line, piece = unravelled(number, lines, pieces)
            inputs = tile.inputs(line, piece * steps + jnp.arange(steps, dtype=jnp.int32))
            seen = _load(x_ref, inputs.place, inputs.inside, image, there)
            taps, own = tile.weights(inputs)
            weights = triton.load(weight_ref.at[taps], mask=own, other=0)
            return total + _dot(weights, seen, (0, 0), product.precision)

        total = _sum(lines * pieces, step, (size(down, across, maps), images), h_ref.dtype)
        place, inside = tile.outputs()
        store(h_ref, place[:, None] + image, inside[:, None] & there, total)

    made = product.window.outputs.rows, product.window.outputs.columns, product.maps, at.batch
    return _called(kernel, grid, warps, made, x, weight)


def input_gradient(h: jax.Array, weight: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """`[output rows, output columns, maps, batch]` to `[rows, columns, maps in, batch]`."""
    at = Places(product, h.shape[-1])
    rows, columns, (reads, makes) = at.rows, at.columns, product.of_group
    down, across, maps, steps, images, warps = shape
    line = columns.readers(across) * makes
    pieces = blocks(line, steps)
    tiles = blocks(rows.plain.extent, down), blocks(columns.plain.extent, across), blocks(reads, maps)
    grid = _grid(at, *tiles, blocks(at.batch, images))

    def kernel(store: Store, h_ref: Ref, weight_ref: Ref, _zeros: Ref, x_ref: Ref) -> None:
        row_layer, column_layer, group, row_tile, column_tile, some, part = unravelled(
            pl.program_id(0), *grid
        )
        image, there = _images(part, images, at.batch)
        inputs = jnp.arange(size(down, across, maps), dtype=jnp.int32)
        a, b, c = unravelled(inputs, down, across, maps)
        c += some * maps
        real = (a < down) & (c < reads)
        first, left = rows.first_reader(row_tile * down), columns.first_reader(column_tile * across)

        def step(number: Index, total: jax.Array) -> jax.Array:
            y, piece = unravelled(number, rows.readers(down), pieces)
            k = piece * steps + jnp.arange(steps, dtype=jnp.int32)
            z, m = unravelled(k, columns.readers(across), makes)
            row, column = rows.position(row_layer, first + y), columns.position(column_layer, left + z)
            place, inside = at.h(row, column, group, m)
            # Layers end at different positions: the last place may be beyond the sheet, or before it.
            inside &= (k < line) & (first + y >= 0) & (left + z >= 0)
            given = _load(h_ref, place, inside, image, there)
            u = row_tile * down + a - (first + y) * rows.stride
            v = (column_tile * across + b)[None] - ((left + z) * columns.stride)[:, None]
            taps, own = at.weight(row, column[:, None], u, v, c, group, m[:, None])
            weights = triton.load(weight_ref.at[taps], mask=own & inside[:, None] & real, other=0)
            return total + _dot(weights, given, (0, 0), product.precision)

        total = _sum(rows.readers(down) * pieces, step, (inputs.size, images), x_ref.dtype)
        place, inside = at.x(
            rows.input(row_layer, row_tile * down + a),
            columns.input(column_layer, column_tile * across + b),
            group,
            c,
        )
        store(x_ref, place[:, None] + image, (inside & real)[:, None] & there, total)

    made = product.window.inputs.rows, product.window.inputs.columns, product.maps_in, at.batch
    # Inputs that no position reads stay zero.
    h, weight, zeros = alike([h, weight, jnp.zeros(made, jnp.result_type(h, weight))])
    return _called(kernel, grid, warps, made, h, weight, zeros, written_over=2)


def weight_gradient(x: jax.Array, h: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """Inputs and the gradients of outputs to the gradient of `[kr, kc, field rows, field columns, maps in, maps]`."""
    at = Places(product, x.shape[-1])
    down, across, maps, steps, images, warps = shape
    lines = at.rows.read_by(down)
    pieces = blocks(at.columns.read_by(across) * product.of_group[0], steps)
    grid = _grid(at, *_tiles(at, shape), lines * pieces)

    def kernel(store: Store, x_ref: Ref, h_ref: Ref, weight_ref: Ref) -> None:
        *numbers, number = unravelled(pl.program_id(0), *grid)
        tile = _Tile.of(at, shape, numbers)
        line, piece = unravelled(number, lines, pieces)
        inputs = tile.inputs(line, piece * steps + jnp.arange(steps, dtype=jnp.int32))
        made, real = tile.outputs()

        def step(part: Index, total: jax.Array) -> jax.Array:
            image, there = _images(part, images, at.batch)
            seen = _load(x_ref, inputs.place, inputs.inside, image, there)
            given = _load(h_ref, made, real, image, there)
            return total + _dot(seen, given, (1, 1), product.precision)

        total = _sum(blocks(at.batch, images), step, (steps, size(down, across, maps)), weight_ref.dtype)
        taps, own = tile.weights(inputs)
        store(weight_ref, taps, own & real, total)

    return _called(kernel, grid, warps, product.weight_shape, x, h)


@dataclass(frozen=True)
class _Inputs:
    """Some inputs of a line that a tile reads: rows, columns and maps by their places in the tile's, and in memory."""

    line: Index
    column: Index
    channel: Index
    real: Index
    place: Index
    inside: Index


@dataclass(frozen=True)
class _Tile:
    """Neighbouring positions of a layer, some of their maps: row `a`, column `b` and map `m` of each output.

    `real` says which outputs there are: a block of a product may be wider than the tile, and a tile than the layer.
    """

    at: Places
    across: int
    layers: tuple[Index, Index]
    group: Index
    first: tuple[Index, Index]
    a: Index
    b: Index
    m: Index
    position: tuple[Index, Index]
    real: Index

    @staticmethod
    def of(at: Places, shape: Shape, numbers: list[Index]) -> _Tile:
        row_layer, column_layer, group, row_tile, column_tile, some = numbers
        down, across, maps, *_ = shape
        a, b, m = unravelled(jnp.arange(size(down, across, maps), dtype=jnp.int32), down, across, maps)
        m += some * maps
        row, column = row_tile * down, column_tile * across
        position = at.rows.position(row_layer, row + a), at.columns.position(column_layer, column + b)
        real = (a < down) & (m < at.product.of_group[1])
        return _Tile(at, across, (row_layer, column_layer), group, (row, column), a, b, m, position, real)

    def outputs(self) -> tuple[Index, Index]:
        """Return where the outputs are, and which of them are on the sheet."""
        place, inside = self.at.h(*self.position, self.group, self.m)
        return place, inside & self.real

    def inputs(self, line: Index, number: Index) -> _Inputs:
        """Return inputs of a line by their numbers."""
        rows, columns, (reads, _) = self.at.rows, self.at.columns, self.at.product.of_group
        width = columns.read_by(self.across)
        column, channel = unravelled(number, width, reads)
        place, inside = self.at.x(
            rows.input(self.layers[0], self.first[0] * rows.stride + line),
            columns.input(self.layers[1], self.first[1] * columns.stride + column),
            self.group,
            channel,
        )
        real = number < width * reads
        return _Inputs(line, column, channel, real, place, inside & real)

    def weights(self, inputs: _Inputs) -> tuple[Index, Index]:
        """Return where the weights `[input, output]` are, and which pairs have one."""
        u = inputs.line - self.a * self.at.rows.stride
        v = inputs.column[:, None] - (self.b * self.at.columns.stride)[None]
        taps, own = self.at.weight(*self.position, u, v, inputs.channel[:, None], self.group, self.m)
        return taps, own & inputs.real[:, None] & self.real


def _tiles(at: Places, shape: Shape) -> Shape:
    """Return the number of tiles of positions along rows, columns and maps."""
    down, across, maps, *_ = shape
    makes = at.product.of_group[1]
    return blocks(at.rows.positions, down), blocks(at.columns.positions, across), blocks(makes, maps)


def _grid(at: Places, *tiles: int) -> Shape:
    """Return the extents of the programs' numbers; those with the same tile of weights follow each other."""
    return at.rows.layers, at.columns.layers, at.product.layout.groups, *tiles


def _images(part: Index, images: int, batch: int) -> tuple[Index, Index]:
    """Return the numbers of a block of images, and whether there are such."""
    image = part * images + jnp.arange(images, dtype=jnp.int32)
    return image, image < batch


def _load(ref: Ref, place: Index, inside: Index, image: Index, there: Index) -> jax.Array:
    """Return values of places, of a block of images: `[places, images]`."""
    mask = inside[:, None] & there[None]
    loaded: jax.Array = triton.load(ref.at[place[:, None] + image[None]], mask=mask, other=0)
    return loaded


def _store(ref: Ref, place: Index, inside: Index, values: jax.Array) -> None:
    triton.store(ref.at[place], values, mask=inside)


def _store_interpreted(ref: Ref, place: Index, inside: Index, values: jax.Array) -> None:
    """An interpreter writes what was there before where nothing is to be written: that must be beyond the array."""
    _store(ref, jnp.where(inside, place, ref.shape[0]), inside, values)


def _sum(steps: int, step: Callable[[Index, jax.Array], jax.Array], shape: Shape, dtype: Any) -> jax.Array:
    total: jax.Array = lax.fori_loop(0, steps, step, jnp.zeros(shape, dtype))
    return total


def _dot(left: jax.Array, right: jax.Array, along: tuple[int, int], precision: str) -> jax.Array:
    """The sum of products along an axis of each, in float32 whatever the operands are."""
    left, right = (_to_tf32 if precision == "tf32" else partial(rounded, precision))(left, right)
    dimensions = (((along[0],), (along[1],)), ((), ()))
    return lax.dot_general(
        left, right, dimensions, precision=exactness(precision), preferred_element_type=jnp.float32
    )


def _to_tf32(*operands: jax.Array) -> tuple[jax.Array, ...]:
    """Round to 10 bits of mantissa, halves to even, but for what is not finite; Triton has no `reduce_precision`."""

    def rounded(operand: jax.Array) -> jax.Array:
        bits = lax.bitcast_convert_type(operand, jnp.int32)
        finite = (bits & 0x7F800000) != 0x7F800000
        up = (bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF
        return lax.bitcast_convert_type(jnp.where(finite, up, bits), jnp.float32)

    return tuple(rounded(operand) for operand in operands)


def _called(
    kernel: Callable[..., None],
    grid: Shape,
    warps: int,
    shape: Shape,
    *operands: jax.Array,
    written_over: int | None = None,
) -> jax.Array:
    """Return what the programs of a kernel write into an array of this shape."""
    dtype, axes = jnp.result_type(*operands), jax.typeof(operands[0]).mat
    result = jax.ShapeDtypeStruct((prod(shape),), dtype, manual_axis_type=axes)  # type: ignore[no-untyped-call]
    call = partial(
        pl.pallas_call,
        grid=(prod(grid),),
        out_shape=result,
        input_output_aliases={} if written_over is None else {written_over: 0},
    )
    made: jax.Array = lax.platform_dependent(
        *(operand.reshape(-1) for operand in operands),
        cpu=call(partial(kernel, _store_interpreted), interpret=True),
        default=call(
            partial(kernel, _store), compiler_params=triton.CompilerParams(num_warps=warps, num_stages=2)
        ),
    )
    return made.reshape(shape)


CALLS: Mapping[str, Callable[[jax.Array, jax.Array, Product, Shape], jax.Array]] = {
    FORWARD: forward,
    INPUT_GRADIENT: input_gradient,
    WEIGHT_GRADIENT: weight_gradient,
}
