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
    rows, columns, (reads, makes) = at.rows, at.columns, product.of_group
    down, across, maps, steps, images, warps = shape
    line = columns.read_by(across) * reads
    pieces = blocks(line, steps)
    tiles = blocks(rows.positions, down), blocks(columns.positions, across), blocks(makes, maps)
    grid = _grid(at, *tiles, blocks(at.batch, images))

    def kernel(store: Store, x_ref: Ref, weight_ref: Ref, h_ref: Ref) -> None:
        row_layer, column_layer, group, row_tile, column_tile, some, part = unravelled(
            pl.program_id(0), *grid
        )
        image, there = _images(part, images, at.batch)
        outputs = jnp.arange(size(down, across, maps), dtype=jnp.int32)
        a, b, m = unravelled(outputs, down, across, maps)
        m += some * maps
        real = (a < down) & (m < makes)
        row = rows.position(row_layer, row_tile * down + a)
        column = columns.position(column_layer, column_tile * across + b)

        def step(number: Index, total: jax.Array) -> jax.Array:
            y, piece = unravelled(number, rows.read_by(down), pieces)
            k = piece * steps + jnp.arange(steps, dtype=jnp.int32)
            z, c = unravelled(k, columns.read_by(across), reads)
            place, inside = at.x(
                rows.input(row_layer, row_tile * (down * rows.stride) + y),
                columns.input(column_layer, column_tile * (across * columns.stride) + z),
                group,
                c,
            )
            seen = _load(x_ref, place, inside & (k < line), image, there)
            u, v = y - a * rows.stride, z[:, None] - (b * columns.stride)[None]
            taps, own = at.weight(row, column, u, v, c[:, None], group, m)
            own &= (k < line)[:, None] & real
            weights = triton.load(weight_ref.at[taps], mask=own, other=0)
            return total + _dot(weights, seen, (0, 0), product.precision)

        total = _sum(rows.read_by(down) * pieces, step, (outputs.size, images), h_ref.dtype)
        place, inside = at.h(row, column, group, m)
        store(h_ref, place[:, None] + image, (inside & real)[:, None] & there, total)

    made = product.window.outputs.rows, product.window.outputs.columns, product.maps, at.batch
    return _called(kernel, grid, warps, made, x, weight)


def input_gradient(h: jax.Array, weight: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """`[output rows, output columns, maps, batch]` to `[rows, columns, maps in, batch]`."""
    at = Places(product, h.shape[-1])
    rows, columns, (reads, makes) = at.rows, at.columns, product.of_group
    down, across, maps, steps, images, warps = shape
    line = columns.readers(across) * makes
    pieces = blocks(line, steps)
    tiles = blocks(rows.inputs, down), blocks(columns.inputs, across), blocks(reads, maps)
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
    rows, columns, (reads, makes) = at.rows, at.columns, product.of_group
    down, across, maps, steps, images, warps = shape
    line = columns.read_by(across) * reads
    pieces = blocks(line, steps)
    tiles = blocks(rows.positions, down), blocks(columns.positions, across), blocks(makes, maps)
    grid = _grid(at, *tiles, rows.read_by(down) * pieces)

    def kernel(store: Store, x_ref: Ref, h_ref: Ref, weight_ref: Ref) -> None:
        row_layer, column_layer, group, row_tile, column_tile, some, number = unravelled(
            pl.program_id(0), *grid
        )
        y, piece = unravelled(number, rows.read_by(down), pieces)
        outputs = jnp.arange(size(down, across, maps), dtype=jnp.int32)
        a, b, m = unravelled(outputs, down, across, maps)
        m += some * maps
        row = rows.position(row_layer, row_tile * down + a)
        column = columns.position(column_layer, column_tile * across + b)
        made, real = at.h(row, column, group, m)
        real &= (a < down) & (m < makes)
        k = piece * steps + jnp.arange(steps, dtype=jnp.int32)
        z, c = unravelled(k, columns.read_by(across), reads)
        read, inside = at.x(
            rows.input(row_layer, row_tile * (down * rows.stride) + y),
            columns.input(column_layer, column_tile * (across * columns.stride) + z),
            group,
            c,
        )

        def step(part: Index, total: jax.Array) -> jax.Array:
            image, there = _images(part, images, at.batch)
            seen = _load(x_ref, read, inside & (k < line), image, there)
            given = _load(h_ref, made, real, image, there)
            return total + _dot(seen, given, (1, 1), product.precision)

        total = _sum(blocks(at.batch, images), step, (steps, outputs.size), weight_ref.dtype)
        u, v = y - a * rows.stride, z[:, None] - (b * columns.stride)[None]
        taps, own = at.weight(row, column, u, v, c[:, None], group, m)
        store(weight_ref, taps, own & real & (k < line)[:, None], total)

    return _called(kernel, grid, warps, product.weight_shape, x, h)


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
