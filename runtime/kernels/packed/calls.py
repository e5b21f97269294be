"""The untied local layer, its transpose, and both gradients, by tile packing.

Every position has its own weights, so the layer is thousands of small products `[batch, K] @ [K, maps]` with
`K = field rows * field columns * maps in`, each too narrow to run fast. `T x T` neighbouring positions see nearly the same
inputs: their weights are laid into one matrix over the union of their fields (packing.py). That costs
`((field + T - 1) / field)^2` times the arithmetic, and makes the products `T * T` times wider and fewer.

A `lax.scan` goes over rows of tiles; the tiles of a row are one batched product, whose operands XLA's CPU backend runs
fastest in the order of the axes written here:

    forward             h  [m, B] = weights' [m, K] @ patches [K, B]
    input gradient      dx [K, B] = weights  [K, m] @ dh      [m, B]     overlapping windows are added up
    weight gradient     dw [K, m] = patches  [K, B] @ dh'     [B, m]

`decode` is the input gradient used as a layer; its gradients are the other two. Compiled size does not depend on the
number of positions.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from lnet.compiler.shapes import Window

from .packing import (
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
from .tiling import ANY_BATCH, FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Choice, Product, Tiling, choose

# --- the three products ----------------------------------------------------------------------------------


def _product(equation: str, left: jax.Array, right: jax.Array, precision: str) -> jax.Array:
    """A batched product, summed in float32 (or wider) whatever its operands are."""
    result = jnp.result_type(left, right)
    if precision == "bfloat16":
        left, right = left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
    return jnp.einsum(equation, left, right, preferred_element_type=result)


def _forward(x: jax.Array, weight: jax.Array, choice: Choice, precision: str) -> jax.Array:
    tiling, rows, maps = choice.tiling, choice.tiling.rows, weight.shape[-1]
    padded = pad_inputs(x, tiling)

    def tile_row(h: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        packed, seen = pack(rows_of(weight, index, rows), tiling), patches(padded, index, tiling)
        if choice.form == "forward":
            tiles = _product("nkm,nkb->nmb", packed, seen, precision)
        else:
            tiles = transposed(_product("nbk,nkm->nbm", transposed(seen), packed, precision))
        return put_rows(h, by_position(tiles, tiling, maps), index, rows), None

    empty = _unwritten((*weight.shape[:2], maps, x.shape[-1]), jnp.result_type(x, weight), x)
    return lax.scan(tile_row, empty, jnp.arange(rows.tiles))[0]


def _input_gradient(h: jax.Array, weight: jax.Array, tiling: Tiling, precision: str) -> jax.Array:
    rows, maps_in = tiling.rows, weight.shape[-2]

    def tile_row(total: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        packed = pack(rows_of(weight, index, rows), tiling)
        windows = _product("nkm,nmb->nkb", packed, by_tile(_new_rows(h, index, tiling), tiling), precision)
        slab = overlap_add(windows, tiling, maps_in)
        start = first_row(index, rows) * rows.slide.stride
        here = lax.dynamic_slice_in_dim(total, start, rows.union, axis=0)
        return lax.dynamic_update_slice_in_dim(total, here + slab, start, axis=0), None

    shape = (rows.reach, tiling.columns.width, maps_in, h.shape[-1])
    zeros = jnp.zeros(shape, jnp.result_type(h, weight))
    return crop_inputs(lax.scan(tile_row, zeros, jnp.arange(rows.tiles))[0], tiling)


def _new_rows(h: jax.Array, index: jax.Array, tiling: Tiling) -> jax.Array:
    """Return a row of tiles' output rows, zero where the row of tiles before has had them."""
    rows = tiling.rows
    new = first_row(index, rows) + jnp.arange(rows.tile) >= index * rows.tile
    return rows_of(h, index, rows) * new[:, None, None, None].astype(h.dtype)


def _weight_gradient(
    x: jax.Array, h: jax.Array, weight: jax.Array, tiling: Tiling, precision: str
) -> jax.Array:
    rows, maps_in = tiling.rows, x.shape[2]
    padded = pad_inputs(x, tiling)

    def tile_row(gradient: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        tiles = jnp.swapaxes(by_tile(rows_of(h, index, rows), tiling), 1, 2)
        product = _product("nkb,nbm->nkm", patches(padded, index, tiling), tiles, precision)
        fields = unpack(product, tiling, maps_in).astype(gradient.dtype)
        return put_rows(gradient, fields, index, rows), None

    empty = _unwritten(weight.shape, weight.dtype, h)
    return lax.scan(tile_row, empty, jnp.arange(rows.tiles))[0]


def _unwritten(shape: tuple[int, ...], dtype: DTypeLike, values: jax.Array) -> jax.Array:
    """Return an array of which a scan will write every value.

    It is filled with one of the layer's own values. Zeros are the same for all layers: XLA makes them once, holds them
    through the step, and copies them for each scan.
    """
    return jnp.broadcast_to(values[(0,) * values.ndim].astype(dtype), shape)


def _choose(
    forms: tuple[str, ...], window: Window, weight: jax.Array, values: jax.Array, precision: str
) -> Choice:
    maps_in, maps = weight.shape[-2:]
    batch = values.shape[-1] if isinstance(values.shape[-1], int) else ANY_BATCH
    return choose(Product(forms, window, maps_in, maps, batch, precision))


# --- layers ----------------------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def untied(x: jax.Array, weight: jax.Array, window: Window, precision: str = "float32") -> jax.Array:
    """`h[i,j,m] = sum_uvc W[i,j,u,v,c,m] x[i*s+u-p, j*s+v-p, c]`, every position with weights of its own.

    `x` `[rows, columns, maps in, batch]`, `weight` `[output rows, output columns, field rows, field columns, maps in,
    maps]`; returns `[output rows, output columns, maps, batch]`.
    """
    return _forward(x, weight, _choose(FORWARD, window, weight, x, precision), precision)


def _untied_forward(
    x: jax.Array, weight: jax.Array, window: Window, precision: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return untied(x, weight, window, precision), (x, weight)


def _untied_backward(
    window: Window, precision: str, kept: tuple[jax.Array, jax.Array], dh: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, weight = kept
    inputs = _choose(INPUT_GRADIENT, window, weight, x, precision).tiling
    weights = _choose(WEIGHT_GRADIENT, window, weight, x, precision).tiling
    dx = _input_gradient(dh, weight, inputs, precision).astype(x.dtype)
    return dx, _weight_gradient(x, dh, weight, weights, precision)


untied.defvjp(_untied_forward, _untied_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def untied_transpose(
    h: jax.Array, weight: jax.Array, window: Window, precision: str = "float32"
) -> jax.Array:
    """`xhat[y,x,c] = sum over every (i,j,u,v) that touches (y,x) of sum_m D[i,j,u,v,c,m] h[i,j,m]`.

    The transpose of `untied`: `h` `[output rows, output columns, maps, batch]`, returns `[rows, columns, maps in,
    batch]`.
    """
    tiling = _choose(INPUT_GRADIENT, window, weight, h, precision).tiling
    return _input_gradient(h, weight, tiling, precision)


def _transpose_forward(
    h: jax.Array, weight: jax.Array, window: Window, precision: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return untied_transpose(h, weight, window, precision), (h, weight)


def _transpose_backward(
    window: Window, precision: str, kept: tuple[jax.Array, jax.Array], dx: jax.Array
) -> tuple[jax.Array, jax.Array]:
    h, weight = kept
    tiling = _choose(WEIGHT_GRADIENT, window, weight, h, precision).tiling
    dh = _forward(dx, weight, _choose(FORWARD, window, weight, h, precision), precision).astype(h.dtype)
    return dh, _weight_gradient(dx, h, weight, tiling, precision)


untied_transpose.defvjp(_transpose_forward, _transpose_backward)
