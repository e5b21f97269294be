"""The untied local layer, its transpose, and both gradients, by tile packing.

Every position has its own weights, so the layer is thousands of small products `[batch, K] @ [K, maps]` with
`K = field rows * field columns * maps in`, each too narrow to run fast. T x T neighbouring positions see nearly the
same inputs: their weights are laid into one matrix over the union of their fields, zero outside each one's own.

    T = 2, field 3 (one axis)        x0 x1 x2 x3          packed [4 inputs, 2 positions]
    position 0 reads x0 x1 x2        w0 w1 w2  .
    position 1 reads    x1 x2 x3      . v0 v1 v2

That costs `((field + T - 1) / field)^2` times the arithmetic, and makes the products `T * T` times wider and fewer.
Values have the batch last, so that a window is made of long contiguous runs, and canonical weights
`[..., field rows, field columns, maps in, maps]` pack into `[K, T * T * maps]`:

    forward             h  [m, B] = weights' [m, K] @ patches [K, B]
    input gradient      dx [K, B] = weights  [K, m] @ dh      [m, B]     overlapping windows are added up
    weight gradient     dw [K, m] = patches  [K, B] @ dh'     [B, m]

`decode` is the input gradient used as a layer; its gradients are the other two. A `lax.scan` goes over rows of
tiles, so that nothing of the size `field^2 * positions * batch` is ever held, and compiled size does not depend on
the number of positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.shapes import Window


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a layer cut into tiles of `tile` positions.

    Inputs are padded into `blocks` blocks of `tile * stride`; a tile reads `overlap` blocks, of which the first
    `union` inputs are the union of its positions' fields.
    """

    extent: int
    before: int
    outputs: int
    field: int
    stride: int
    tile: int

    @property
    def tiles(self) -> int:
        return -(-self.outputs // self.tile)

    @property
    def step(self) -> int:
        return self.tile * self.stride

    @property
    def union(self) -> int:
        return (self.tile - 1) * self.stride + self.field

    @property
    def overlap(self) -> int:
        return -(-self.union // self.step)

    @property
    def padded(self) -> int:
        return (self.tiles + self.overlap - 1) * self.step

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros before and after the inputs; negative where inputs at the end are read by nobody."""
        return self.before, self.padded - self.before - self.extent


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a layer's positions are cut into tiles."""

    rows: Axis
    columns: Axis

    @property
    def positions(self) -> tuple[int, int]:
        """Positions of all tiles, those beyond the sheet included."""
        return self.rows.tiles * self.rows.tile, self.columns.tiles * self.columns.tile


def choose_tiling(window: Window, maps: int) -> Tiling:
    """Return the tiling whose products are predicted to run fastest.

    The rate of a product with `m` columns was measured as about `m / (m + 20)` of the peak (8: 0.27, 32: 0.5,
    128: 0.75 of a dense product); arithmetic grows with the union of the fields.
    """

    def cost(tile: int) -> float:
        rows, columns = _tiles(window, tile)
        width = rows.tile * columns.tile * maps
        waste = rows.tiles * rows.tile * columns.tiles * columns.tile
        arithmetic = rows.union * columns.union * waste / (rows.field * columns.field)
        return arithmetic * (width + 20) / width

    rows, columns = _tiles(window, min((1, 2, 3, 4, 5, 6, 8), key=cost))
    return Tiling(rows, columns)


def _tiles(window: Window, tile: int) -> tuple[Axis, Axis]:
    axes = [
        Axis(s.extent, s.before, s.outputs, s.field, s.stride, min(tile, s.outputs))
        for s in (window.rows, window.columns)
    ]
    return axes[0], axes[1]


# --- layout ----------------------------------------------------------------------------------------------


def _pad_inputs(x: jax.Array, tiling: Tiling) -> jax.Array:
    """`[rows, columns, maps, batch]` to the padded extents of the tiling."""
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, [(*tiling.rows.padding, 0), (*tiling.columns.padding, 0), (0, 0, 0), (0, 0, 0)])


def _tile_row(x: jax.Array, index: jax.Array, axis: Axis) -> jax.Array:
    """Return the rows that a row of tiles reads."""
    return lax.dynamic_slice_in_dim(x, index * axis.step, axis.union, axis=0)


def _windows(slab: jax.Array, axis: Axis) -> jax.Array:
    """`[union rows, columns, ...]` to what each tile reads, `[tiles, union rows, union columns, ...]`."""
    starts = jnp.arange(axis.tiles) * axis.step
    return jax.vmap(lambda start: lax.dynamic_slice_in_dim(slab, start, axis.union, axis=1))(starts)


def _overlap_add(windows: jax.Array, axis: Axis) -> jax.Array:
    """The transpose of `_windows`: what tiles have for one input is added up, from left to right."""

    def add(slab: jax.Array, scanned: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        start, window = scanned
        here = lax.dynamic_slice_in_dim(slab, start, axis.union, axis=1)
        return lax.dynamic_update_slice_in_dim(slab, here + window, start, axis=1), None

    empty = jnp.zeros((windows.shape[1], axis.padded, *windows.shape[3:]), windows.dtype)
    return lax.scan(add, empty, (jnp.arange(axis.tiles) * axis.step, windows))[0]


def _by_tile(values: jax.Array, tiling: Tiling) -> jax.Array:
    """`[rows, columns, ...]` of positions to `[tile rows, tile columns, T, T, ...]`, padded with zeros."""
    rows, columns = tiling.rows, tiling.columns
    extra = [(0, tiling.positions[0] - rows.outputs), (0, tiling.positions[1] - columns.outputs)]
    padded = jnp.pad(values, extra + [(0, 0)] * (values.ndim - 2))
    shape = (rows.tiles, rows.tile, columns.tiles, columns.tile)
    return jnp.swapaxes(padded.reshape(*shape, *values.shape[2:]), 1, 2)


def _by_position(tiles: jax.Array, tiling: Tiling) -> jax.Array:
    """The inverse of `_by_tile`."""
    values = jnp.swapaxes(tiles, 1, 2)
    values = values.reshape(*tiling.positions, *values.shape[4:])
    return values[: tiling.rows.outputs, : tiling.columns.outputs]


def _pack(weight: jax.Array, tiling: Tiling) -> jax.Array:
    """`[tiles, T, T, field rows, field columns, maps in, maps]` to `[tiles, K, T * T * maps]`."""
    weight = _skew(weight, 1, 3, tiling.rows)
    weight = _skew(weight, 2, 4, tiling.columns)
    packed = jnp.moveaxis(weight, (1, 2), (4, 5))
    return packed.reshape(packed.shape[0], -1, tiling.rows.tile * tiling.columns.tile * weight.shape[-1])


def _skew(weight: jax.Array, tile_axis: int, field_axis: int, axis: Axis) -> jax.Array:
    """Lay the fields of T positions into their union, each one `stride` further."""
    parts = []
    for position in range(axis.tile):
        field = lax.index_in_dim(weight, position, tile_axis, keepdims=True)
        before = position * axis.stride
        padding = [(0, 0)] * weight.ndim
        padding[field_axis] = (before, axis.union - axis.field - before)
        parts.append(jnp.pad(field, padding))
    return jnp.concatenate(parts, axis=tile_axis)


def _unpack(packed: jax.Array, tiling: Tiling, maps_in: int, maps: int) -> jax.Array:
    """The transpose of `_pack`: what a packed matrix has inside the fields."""
    rows, columns = tiling.rows, tiling.columns
    shape = (packed.shape[0], rows.union, columns.union, maps_in, rows.tile, columns.tile, maps)
    weight = jnp.moveaxis(packed.reshape(shape), (4, 5), (1, 2))
    return _unskew(_unskew(weight, 1, 3, rows), 2, 4, columns)


def _unskew(weight: jax.Array, tile_axis: int, field_axis: int, axis: Axis) -> jax.Array:
    parts = []
    for position in range(axis.tile):
        field = lax.index_in_dim(weight, position, tile_axis, keepdims=True)
        start = position * axis.stride
        parts.append(lax.slice_in_dim(field, start, start + axis.field, axis=field_axis))
    return jnp.concatenate(parts, axis=tile_axis)


# --- the three products ----------------------------------------------------------------------------------


def _product(equation: str, left: jax.Array, right: jax.Array, precision: str) -> jax.Array:
    """A batched product, summed in float32 (or wider) whatever its operands are."""
    result = left.dtype
    if precision == "bfloat16":
        left, right = left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
    return jnp.einsum(equation, left, right, preferred_element_type=result)


def _forward(x: jax.Array, weight: jax.Array, tiling: Tiling, precision: str) -> jax.Array:
    batch, maps = x.shape[-1], weight.shape[-1]
    rows, columns = tiling.rows, tiling.columns
    padded = _pad_inputs(x, tiling)

    def tile_row(_: None, scanned: tuple[jax.Array, jax.Array]) -> tuple[None, jax.Array]:
        index, weights = scanned
        patches = _windows(_tile_row(padded, index, rows), columns).reshape(columns.tiles, -1, batch)
        return None, _product("nkm,nkb->nmb", _pack(weights, tiling), patches, precision)

    _, h = lax.scan(tile_row, None, (jnp.arange(rows.tiles), _by_tile(weight, tiling)))
    tiles = h.reshape(rows.tiles, columns.tiles, rows.tile, columns.tile, maps, batch)
    return _by_position(tiles, tiling)


def _input_gradient(h: jax.Array, weight: jax.Array, tiling: Tiling, precision: str) -> jax.Array:
    batch, maps_in = h.shape[-1], weight.shape[-2]
    rows, columns = tiling.rows, tiling.columns
    tiles = _by_tile(h, tiling).reshape(rows.tiles, columns.tiles, -1, batch)

    def tile_row(total: jax.Array, scanned: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        index, weights, values = scanned
        windows = _product("nkm,nmb->nkb", _pack(weights, tiling), values, precision)
        shape = (columns.tiles, rows.union, columns.union, maps_in, batch)
        slab = _overlap_add(windows.reshape(shape), columns)
        start = index * rows.step
        here = lax.dynamic_slice_in_dim(total, start, rows.union, axis=0)
        return lax.dynamic_update_slice_in_dim(total, here + slab, start, axis=0), None

    zeros = jnp.zeros((rows.padded, columns.padded, maps_in, batch), h.dtype)
    total, _ = lax.scan(tile_row, zeros, (jnp.arange(rows.tiles), _by_tile(weight, tiling), tiles))
    return _crop_inputs(total, tiling)


def _crop_inputs(x: jax.Array, tiling: Tiling) -> jax.Array:
    """The transpose of `_pad_inputs`."""
    zero = jnp.zeros((), x.dtype)
    padding = [(-before, -after, 0) for before, after in (tiling.rows.padding, tiling.columns.padding)]
    return lax.pad(x, zero, [*padding, (0, 0, 0), (0, 0, 0)])


def _weight_gradient(x: jax.Array, h: jax.Array, tiling: Tiling, precision: str) -> jax.Array:
    batch, maps_in, maps = x.shape[-1], x.shape[2], h.shape[2]
    rows, columns = tiling.rows, tiling.columns
    padded = _pad_inputs(x, tiling)
    tiles = jnp.moveaxis(_by_tile(h, tiling), -1, 2).reshape(rows.tiles, columns.tiles, batch, -1)

    def tile_row(_: None, scanned: tuple[jax.Array, jax.Array]) -> tuple[None, jax.Array]:
        index, values = scanned
        patches = _windows(_tile_row(padded, index, rows), columns).reshape(columns.tiles, -1, batch)
        product = _product("nkb,nbm->nkm", patches, values, precision)
        return None, _unpack(product, tiling, maps_in, maps)

    _, gradient = lax.scan(tile_row, None, (jnp.arange(rows.tiles), tiles))
    return _by_position(gradient, tiling)


# --- layers ----------------------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def untied(x: jax.Array, weight: jax.Array, window: Window, precision: str = "float32") -> jax.Array:
    """`h[i,j,m] = sum_uvc W[i,j,u,v,c,m] x[i*s+u-p, j*s+v-p, c]`, every position with weights of its own.

    `x` `[rows, columns, maps in, batch]`, `weight` `[output rows, output columns, field rows, field columns, maps in,
    maps]`; returns `[output rows, output columns, maps, batch]`.
    """
    return _forward(x, weight, choose_tiling(window, weight.shape[-1]), precision)


def _untied_forward(
    x: jax.Array, weight: jax.Array, window: Window, precision: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return untied(x, weight, window, precision), (x, weight)


def _untied_backward(
    window: Window, precision: str, kept: tuple[jax.Array, jax.Array], dh: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, weight = kept
    tiling = choose_tiling(window, weight.shape[-1])
    return _input_gradient(dh, weight, tiling, precision), _weight_gradient(x, dh, tiling, precision)


untied.defvjp(_untied_forward, _untied_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def untied_transpose(
    h: jax.Array, weight: jax.Array, window: Window, precision: str = "float32"
) -> jax.Array:
    """`xhat[y,x,c] = sum over every (i,j,u,v) that touches (y,x) of sum_m D[i,j,u,v,c,m] h[i,j,m]`.

    The transpose of `untied`: `h` `[output rows, output columns, maps, batch]`, returns `[rows, columns, maps in,
    batch]`.
    """
    return _input_gradient(h, weight, choose_tiling(window, weight.shape[-1]), precision)


def _transpose_forward(
    h: jax.Array, weight: jax.Array, window: Window, precision: str
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return untied_transpose(h, weight, window, precision), (h, weight)


def _transpose_backward(
    window: Window, precision: str, kept: tuple[jax.Array, jax.Array], dx: jax.Array
) -> tuple[jax.Array, jax.Array]:
    h, weight = kept
    tiling = choose_tiling(window, weight.shape[-1])
    return _forward(dx, weight, tiling, precision), _weight_gradient(dx, h, tiling, precision)


untied_transpose.defvjp(_transpose_forward, _transpose_backward)
