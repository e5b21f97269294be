"""The three products of an untied layer by tile packing, for any device that XLA compiles for.

Every position has its own weights, so the layer is thousands of small products `[batch, K] @ [K, maps]` with
`K = field rows * field columns * maps in`, each too narrow to run fast. `T x T` neighbouring positions see nearly the same
inputs: their weights are laid into one matrix over the union of their fields (moves.py). That costs
`((field + T - 1) / field)^2` times the arithmetic, and makes the products `T * T` times wider and fewer.

A `lax.scan` goes over rows of tiles; the tiles of a row are one batched product, whose operands XLA's CPU backend runs
fastest in the order of the axes written here:

    forward             h  [m, B] = weights' [m, K] @ patches [K, B]
    input gradient      dx [K, B] = weights  [K, m] @ dh      [m, B]     overlapping windows are added up
    weight gradient     dw [K, m] = patches  [K, B] @ dh'     [B, m]

Compiled size does not depend on the number of positions. Dilated and grouped layers are several plain ones (plain.py).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from lnet.runtime.kernels.products import Product, exactness, rounded

from .moves import (
    by_position,
    by_tile,
    crop_inputs,
    first_row,
    overlap_add,
    pack,
    pad_inputs,
    patches,
    put_rows,
    rows_of,
    transposed,
    unpack,
)
from .plain import Layers, back
from .tiling import Tiling, tile_by

Shape = tuple[int, ...]


def _product(equation: str, left: jax.Array, right: jax.Array, precision: str) -> jax.Array:
    """A batched product, summed in float32 (or wider) whatever its operands are."""
    result = jnp.result_type(left, right)
    left, right = rounded(precision, left, right)
    return jnp.einsum(equation, left, right, precision=exactness(precision), preferred_element_type=result)


def forward(
    x: jax.Array, weight: jax.Array, product: Product, shape: Shape, turned: bool = False
) -> jax.Array:
    """`[rows, columns, maps in, batch]` to `[output rows, output columns, maps, batch]`.

    `turned`: the product is taken with patches transposed.
    """
    layers, outputs = Layers(product), product.window.outputs
    if layers.given:
        return _forward(x, weight, product, shape, turned)
    one = partial(_forward, product=layers.plain, shape=shape, turned=turned)
    found = layers.each(one, layers.inputs(x), layers.weights(weight))
    return back(layers.outputs, (outputs.rows, outputs.columns, product.maps, x.shape[-1]), found)


def input_gradient(h: jax.Array, weight: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """`[output rows, output columns, maps, batch]` to `[rows, columns, maps in, batch]`."""
    layers, inputs = Layers(product), product.window.inputs
    if layers.given:
        return _input_gradient(h, weight, product, shape)
    one = partial(_input_gradient, product=layers.plain, shape=shape)
    found = layers.each(one, layers.outputs(h), layers.weights(weight))
    return back(layers.inputs, (inputs.rows, inputs.columns, product.maps_in, h.shape[-1]), found)


def weight_gradient(x: jax.Array, h: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """Inputs and the gradients of outputs to the gradient of `[kr, kc, field rows, field columns, maps in, maps]`."""
    layers = Layers(product)
    if layers.given:
        return _weight_gradient(x, h, product, shape)
    one = partial(_weight_gradient, product=layers.plain, shape=shape)
    found = layers.each(one, layers.inputs(x), layers.outputs(h))
    return back(layers.weights, product.weight_shape, found)


def _forward(x: jax.Array, weight: jax.Array, product: Product, shape: Shape, turned: bool) -> jax.Array:
    tiling, maps = tile_by(product.window, *shape), product.maps
    rows = tiling.rows
    padded = pad_inputs(x, tiling)

    def tile_row(h: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        packed, seen = pack(rows_of(weight, index, rows), tiling), patches(padded, index, tiling)
        if turned:
            tiles = transposed(_product("nbk,nkm->nbm", transposed(seen), packed, product.precision))
        else:
            tiles = _product("nkm,nkb->nmb", packed, seen, product.precision)
        return put_rows(h, by_position(tiles, tiling, maps), index, rows), None

    empty = _unwritten((*weight.shape[:2], maps, x.shape[-1]), jnp.result_type(x, weight), x)
    return lax.scan(tile_row, empty, jnp.arange(rows.tiles))[0]


def _input_gradient(h: jax.Array, weight: jax.Array, product: Product, shape: Shape) -> jax.Array:
    tiling, maps_in = tile_by(product.window, *shape), product.maps_in
    rows = tiling.rows

    def tile_row(total: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        packed = pack(rows_of(weight, index, rows), tiling)
        given = by_tile(_new_rows(h, index, tiling), tiling)
        windows = _product("nkm,nmb->nkb", packed, given, product.precision)
        slab = overlap_add(windows, tiling, maps_in)
        start = first_row(index, rows) * rows.slide.stride
        here = lax.dynamic_slice_in_dim(total, start, rows.union, axis=0)
        return lax.dynamic_update_slice_in_dim(total, here + slab, start, axis=0), None

    extents = (rows.slide.reach, tiling.columns.width, maps_in, h.shape[-1])
    zeros = jnp.zeros(extents, jnp.result_type(h, weight))
    return crop_inputs(lax.scan(tile_row, zeros, jnp.arange(rows.tiles))[0], tiling)


def _new_rows(h: jax.Array, index: jax.Array, tiling: Tiling) -> jax.Array:
    """Return the output rows of a row of tiles, zero where the previous row of tiles has covered them."""
    rows = tiling.rows
    new = first_row(index, rows) + jnp.arange(rows.tile) >= index * rows.tile
    return rows_of(h, index, rows) * new[:, None, None, None].astype(h.dtype)


def _weight_gradient(x: jax.Array, h: jax.Array, product: Product, shape: Shape) -> jax.Array:
    tiling = tile_by(product.window, *shape)
    rows = tiling.rows
    padded = pad_inputs(x, tiling)

    def tile_row(gradient: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        tiles = jnp.swapaxes(by_tile(rows_of(h, index, rows), tiling), 1, 2)
        found = _product("nkb,nbm->nkm", patches(padded, index, tiling), tiles, product.precision)
        fields = unpack(found, tiling, product.maps_in).astype(gradient.dtype)
        return put_rows(gradient, fields, index, rows), None

    empty = _unwritten(product.weight_shape, jnp.result_type(x, h), h)
    return lax.scan(tile_row, empty, jnp.arange(rows.tiles))[0]


def _unwritten(shape: tuple[int, ...], dtype: DTypeLike, values: jax.Array) -> jax.Array:
    """Return an array for a scan to overwrite completely.

    It is filled with one of the layer's own values. Zeros would be one constant for all layers: XLA would make it once,
    keep it through the step, and copy it for each scan.
    """
    return jnp.broadcast_to(values[(0,) * values.ndim].astype(dtype), shape)
