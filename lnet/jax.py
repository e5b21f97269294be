"""The untied layer alone, for JAX programs that want nothing else of lnet: every position has weights of its own.

weight = 0.1 * jax.random.normal(key, lnet.jax.weight_shape((32, 32, 3), field=9, maps=8))
h = lnet.jax.local(images, weight)  # [batch, 32, 32, 3] -> [batch, 24, 24, 8]
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.core.arguments import ONE, Padding, Refused
from lnet.compiler.core.shapes import Size, Window
from lnet.compiler.core.sliding import slide_out, slide_over
from lnet.compiler.ops.filters import Layout
from lnet.dsl.diagnostics import refused
from lnet.runtime.kernels.ops import local as kernels
from lnet.runtime.kernels.products import ROUNDED

Extent = int | tuple[int, int]
Pad = Extent | str

__all__ = ["local", "local_transpose", "weight_shape"]


def local(
    x: jax.Array,
    weight: jax.Array,
    *,
    stride: Extent = 1,
    pad: Pad = 0,
    dilation: Extent = 1,
    groups: int = 1,
    block: Extent = 1,
    precision: str = "float32",
    batch_last: bool = False,
) -> jax.Array:
    """Return `h[i,j,m] = sum_uvc W[i,j,u,v,c,m] x[i*s+u*d-p, j*s+v*d-p, c]` of each image.

    `x` `[batch, row, column, map]`; `weight` `[output row, output column, field row, field column, map of a group, output
    map]`. With fewer rows and columns positions share weights: position `i` uses row `i % rows`, so one row and column make
    a convolution; or `i // block`. `pad`: zeros on each side, or "same". Rows and columns that differ are given as a pair.
    `precision`: "bfloat16" rounds what is multiplied. `batch_last`: arrays are `[row, column, map, batch]`, as the kernels
    have them: faster, since nothing is transposed. Derivatives of any order, in both modes, by the same kernels. Raises
    `DataError` for arrays that do not fit.
    """
    _check(x, weight, groups, precision)
    values = x if batch_last else jnp.moveaxis(x, 0, -1)
    window, sets = _window(values.shape[:2], weight, stride, pad, dilation), Size(*weight.shape[:2])
    layout = _layout(groups, block, sets, window.outputs)
    if weight.shape[4] * groups != values.shape[2]:
        raise _misfit(weight, f"{groups} x {weight.shape[4]} maps, and 'x' has {values.shape[2]}")
    h = kernels.local(values, weight, window, precision, layout)
    return h if batch_last else jnp.moveaxis(h, -1, 0)


def local_transpose(
    h: jax.Array,
    weight: jax.Array,
    *,
    stride: Extent = 1,
    pad: Pad = 0,
    dilation: Extent = 1,
    groups: int = 1,
    block: Extent = 1,
    extra: Extent = 0,
    precision: str = "float32",
    batch_last: bool = False,
) -> jax.Array:
    """Return the transpose of `local` with the same weights: `h[i,j]` times `W[i,j]`, added up where fields overlap.

    `h` `[batch, row, column, map]` with the layer's output maps; returns the layer's inputs. `pad` cuts off as many rows and
    columns as `local` would add, of which `extra` at the end are kept. Else as `local`.
    """
    _check(h, weight, groups, precision)
    values = h if batch_last else jnp.moveaxis(h, 0, -1)
    positions, sets = Size(*values.shape[:2]), Size(*weight.shape[:2])
    try:
        window = slide_out(
            positions, Size(*weight.shape[2:4]), _size(stride), _padding(pad), _size(dilation), _size(extra)
        )
    except Refused as error:
        raise refused("E716", error.message, *error.notes) from error
    layout = _layout(groups, block, sets, positions)
    if weight.shape[5] != values.shape[2]:
        raise _misfit(weight, f"{weight.shape[5]} output maps, and 'h' has {values.shape[2]}")
    x = kernels.local_transpose(values, weight, window, precision, layout)
    return x if batch_last else jnp.moveaxis(x, -1, 0)


def weight_shape(
    inputs: tuple[int, int, int],
    field: Extent,
    maps: int,
    *,
    stride: Extent = 1,
    pad: Pad = 0,
    dilation: Extent = 1,
    groups: int = 1,
) -> tuple[int, int, int, int, int, int]:
    """Return the shape of the weights with which `local` reads `inputs`, `(rows, columns, maps)`, unshared."""
    rows, columns, channels = inputs
    size = _size(field)
    if channels % groups or maps % groups:
        raise refused(
            "E716", f"{channels} maps and {maps} output maps cannot be divided into {groups} groups"
        )
    outputs = _slid(Size(rows, columns), size, stride, pad, dilation).outputs
    return outputs.rows, outputs.columns, size.rows, size.columns, channels // groups, maps


def _window(
    extents: tuple[int, ...], weight: jax.Array, stride: Extent, pad: Pad, dilation: Extent
) -> Window:
    return _slid(Size(*extents), Size(*weight.shape[2:4]), stride, pad, dilation)


def _slid(size: Size, field: Size, stride: Extent, pad: Pad, dilation: Extent) -> Window:
    try:
        return slide_over(size, field, _size(stride), _padding(pad), _size(dilation))
    except Refused as error:
        raise refused("E716", error.message, *error.notes) from error


def _check(values: jax.Array, weight: jax.Array, groups: int, precision: str) -> None:
    if precision != "float32" and precision not in ROUNDED:
        raise refused(
            "E716", f"expected 'float32' or one of {', '.join(ROUNDED)} as 'precision', found '{precision}'"
        )
    if values.ndim != 4:
        raise refused("E716", f"expected values with 4 axes, found {list(values.shape)}")
    if weight.ndim != 6:
        axes = "[output row, output column, field row, field column, map, output map]"
        raise refused("E716", f"expected 'weight' as {axes}, found {list(weight.shape)}")
    if groups < 1 or weight.shape[5] % groups:
        raise _misfit(weight, f"{weight.shape[5]} output maps, which cannot be divided into {groups} groups")


def _layout(groups: int, block: Extent, sets: Size, positions: Size) -> Layout:
    """Return which positions use which weights; raises `DataError` for others than there are positions or blocks."""
    width = _size(block)
    width = Size(min(width.rows, positions.rows), min(width.columns, positions.columns))
    blocks = Size(-(-positions.rows // width.rows), -(-positions.columns // width.columns))
    if width != ONE and sets != blocks:
        raise refused("E716", f"'weight' has {sets} sets of weights for {blocks} blocks of positions")
    if sets.rows > blocks.rows or sets.columns > blocks.columns:
        raise refused("E716", f"'weight' has {sets} sets of weights for {positions} positions")
    return Layout(groups, width)


def _misfit(weight: jax.Array, what: str) -> Exception:
    return refused("E716", f"'weight' {list(weight.shape)} is for {what}")


def _size(extent: Extent) -> Size:
    return Size(extent, extent) if isinstance(extent, int) else Size(*extent)


def _padding(pad: Pad) -> Padding:
    if isinstance(pad, str):
        if pad not in ("valid", "same"):
            raise refused("E716", f"expected zeros on each side, 'valid' or 'same' as 'pad', found '{pad}'")
        return Padding(pad)
    return Padding(zeros=_size(pad))
