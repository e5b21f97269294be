"""Moving data between a layer's arrays and the operands of a row of tiles' products.

Each function does one thing to one row of tiles, so that its result stays in the caches, and no array of size
`field^2 * positions * batch` ever exists. Weights of `T x T` neighbouring positions are laid into one matrix over the union
of their fields, zero outside each one's own (one axis, tile 2, field 3):

                       x0 x1 x2 x3          packed [4 inputs, 2 positions]
    position 0 reads   x0 x1 x2             w0 w1 w2  .
    position 1 reads      x1 x2 x3           . v0 v1 v2
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

from .tiling import Axis, Tiling


def first_row(index: jax.Array, axis: Axis) -> jax.Array:
    """Return the first output row of a row of tiles; the last one ends where the sheet does."""
    return jnp.minimum(index * axis.tile, axis.slide.outputs - axis.tile)


def rows_of(values: jax.Array, index: jax.Array, axis: Axis) -> jax.Array:
    """Return the output rows of a row of tiles: `[outputs, ...]` to `[tile, ...]`."""
    return lax.dynamic_slice_in_dim(values, first_row(index, axis), axis.tile, axis=0)


def put_rows(values: jax.Array, rows: jax.Array, index: jax.Array, axis: Axis) -> jax.Array:
    """Write the output rows of a row of tiles: the inverse of `rows_of`."""
    return lax.dynamic_update_slice_in_dim(values, rows, first_row(index, axis), axis=0)


def pad_inputs(x: jax.Array, tiling: Tiling) -> jax.Array:
    """`[rows, columns, maps, batch]` to the inputs that tiles read, zeros around them."""
    rows, columns = tiling.padding
    return lax.pad(x, jnp.zeros((), x.dtype), [(*rows, 0), (*columns, 0), (0, 0, 0), (0, 0, 0)])


def crop_inputs(x: jax.Array, tiling: Tiling) -> jax.Array:
    """The transpose of `pad_inputs`."""
    padding = [(-before, -after, 0) for before, after in tiling.padding]
    return lax.pad(x, jnp.zeros((), x.dtype), [*padding, (0, 0, 0), (0, 0, 0)])


def patches(padded: jax.Array, index: jax.Array, tiling: Tiling) -> jax.Array:
    """Return the inputs of a row of tiles: `[tiles, K, batch]`, `K = union rows * union columns * maps in`."""
    rows, columns = tiling.rows, tiling.columns
    top = first_row(index, rows) * rows.slide.stride
    shape = (rows.union, columns.union, *padded.shape[2:])
    starts = jnp.arange(columns.tiles) * columns.step
    windows: jax.Array = jax.vmap(lambda left: lax.dynamic_slice(padded, (top, left, 0, 0), shape))(starts)
    return windows.reshape(columns.tiles, -1, padded.shape[-1])


def transposed(tiles: jax.Array) -> jax.Array:
    """Swap the last two axes, as an operation of its own: fused into a loop over elements it is four times slower."""
    return _alone(jnp.swapaxes(_alone(tiles), -1, -2))


def _alone(values: jax.Array) -> jax.Array:
    """Prevent fusion across this point."""
    barred: jax.Array = lax.optimization_barrier(values)  # type: ignore[no-untyped-call]
    return barred


def pack(weight: jax.Array, tiling: Tiling) -> jax.Array:
    """`[T rows, output columns, field rows, field columns, maps in, maps]` to `[tiles, K, positions * maps]`.

    Fields are first padded to the width of the union, where each is contiguous; a position is then the number of zeros
    before it and after it:

        field 2x2 at row 1, column 1 of a union 3x3       . . . | . w w | . w w       4 zeros, ww. ww
    """
    rows, columns = tiling.rows, tiling.columns
    height, width, maps_in, maps = weight.shape[2:]
    line, zero = columns.union * maps_in, jnp.zeros((), weight.dtype)
    lines = weight.reshape(*weight.shape[:3], width * maps_in, maps)
    beyond = columns.tiles * columns.tile - columns.slide.outputs
    wider = [(0, 0, 0), (0, beyond, 0), (0, 0, 0), (0, line - width * maps_in, 0), (0, 0, 0)]
    pieces = _alone(lax.pad(lines, zero, wider))
    pieces = pieces.reshape(rows.tile, columns.tiles, columns.tile, height * line, maps)
    fields = []
    for a, b in _positions(tiling):
        before = a * rows.slide.stride * line + b * columns.slide.stride * maps_in
        place = [(0, 0, 0), (before, (rows.union - height) * line - before, 0), (0, 0, 0)]
        fields.append(lax.pad(pieces[a, :, b], zero, place)[:, :, None])
    packed = jnp.concatenate(fields, axis=2).reshape(columns.tiles, -1, tiling.positions * maps)
    return _alone(packed)


def unpack(packed: jax.Array, tiling: Tiling, maps_in: int) -> jax.Array:
    """The transpose of `pack`: the values inside the fields of packed matrices."""
    rows, columns = tiling.rows, tiling.columns
    height, width = rows.slide.field, columns.slide.field
    maps = packed.shape[-1] // tiling.positions
    packed = _alone(packed).reshape(
        columns.tiles, rows.union, columns.union * maps_in, tiling.positions, maps
    )
    fields = []
    for number, (a, b) in enumerate(_positions(tiling)):
        down, right = a * rows.slide.stride, b * columns.slide.stride
        fields.append(packed[:, down : down + height, right * maps_in : (right + width) * maps_in, number])
    weight = jnp.stack(fields).reshape(rows.tile, columns.tile, columns.tiles, height, width, maps_in, maps)
    weight = jnp.swapaxes(weight, 1, 2).reshape(rows.tile, -1, height, width, maps_in, maps)
    return weight[:, : columns.slide.outputs]


def _positions(tiling: Tiling) -> Iterator[tuple[int, int]]:
    for a in range(tiling.rows.tile):
        for b in range(tiling.columns.tile):
            yield a, b


def by_tile(rows: jax.Array, tiling: Tiling) -> jax.Array:
    """`[T rows, output columns, maps, batch]` to `[tiles, positions * maps, batch]`, zeros beyond the sheet."""
    columns = tiling.columns
    beyond = columns.tiles * columns.tile - columns.slide.outputs
    padded = jnp.pad(rows, ((0, 0), (0, beyond), (0, 0), (0, 0)))
    tiles = padded.reshape(tiling.rows.tile, columns.tiles, columns.tile, *rows.shape[2:])
    return jnp.swapaxes(tiles, 0, 1).reshape(columns.tiles, -1, rows.shape[-1])


def by_position(tiles: jax.Array, tiling: Tiling, maps: int) -> jax.Array:
    """The inverse of `by_tile`."""
    columns = tiling.columns
    values = tiles.reshape(columns.tiles, tiling.rows.tile, columns.tile, maps, -1)
    values = jnp.swapaxes(values, 0, 1).reshape(tiling.rows.tile, -1, maps, tiles.shape[-1])
    return values[:, : columns.slide.outputs]


def overlap_add(windows: jax.Array, tiling: Tiling, maps_in: int) -> jax.Array:
    """The transpose of `patches` for a row of tiles: `[tiles, K, batch]` to `[union rows, width, maps in, batch]`.

    A window is cut into steps; the k-th steps of all tiles stand side by side, so that each k is one addition.
    """
    rows, columns = tiling.rows, tiling.columns
    shape = (columns.tiles, rows.union, columns.union, maps_in, windows.shape[-1])
    beyond = columns.blocks * columns.step - columns.union
    padded = jnp.pad(windows.reshape(shape), ((0, 0), (0, 0), (0, beyond), (0, 0), (0, 0)))
    steps = padded.reshape(columns.tiles, rows.union, columns.blocks, columns.step, maps_in, -1)
    total = jnp.zeros((), windows.dtype)
    for k in range(columns.blocks):
        shifts = ((k, columns.blocks - 1 - k), *[(0, 0)] * 4)
        total = total + jnp.pad(steps[:, :, k], shifts)
    return jnp.swapaxes(total, 0, 1).reshape(rows.union, columns.width, maps_in, -1)
