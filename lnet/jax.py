"""The untied layer alone, for JAX programs that want nothing else of lnet: every position has weights of its own.

weight = 0.1 * jax.random.normal(key, lnet.jax.weight_shape((32, 32, 3), field=9, maps=8))
h = lnet.jax.local(images, weight)  # [batch, 32, 32, 3] -> [batch, 24, 24, 8]
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp

from lnet.compiler.core.arguments import ONE, Padding, Refused, Sharing
from lnet.compiler.core.shapes import Size
from lnet.compiler.core.sliding import slide_out, slide_over
from lnet.compiler.ops.filters import Layout, check_groups, shared
from lnet.dsl.diagnostics import LnetError, refused
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

    `x` `[batch, row, column, map]`; `weight` `[output row, output column, field row, field column, map of a group,
    output map]`. With fewer rows and columns, positions share weights: position `i` uses row `i % rows`, so one row and
    one column make a convolution; with `block`, row `i // block`. `pad`: zeros on each side, or "same". Rows and columns
    that differ are given as a pair. `precision`: "bfloat16" rounds what is multiplied. `batch_last`: arrays are `[row,
    column, map, batch]`, as the kernels use them: nothing is transposed. Derivatives of any order, in both modes, use
    the same kernels. Raises `DataError` for arrays that do not fit.
    """
    _check(x, weight, precision)
    values = x if batch_last else jnp.moveaxis(x, 0, -1)
    with _refusing():
        check_groups(groups, values.shape[2], weight.shape[5])
        window = slide_over(Size(*values.shape[:2]), *_sliding(weight.shape[2:4], stride, pad, dilation))
    if weight.shape[4] * groups != values.shape[2]:
        raise _misfit(weight, f"{groups} x {weight.shape[4]} maps, and 'x' has {values.shape[2]}")
    h = kernels.local(values, weight, window, precision, _layout(groups, block, weight, window.outputs))
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
    _check(h, weight, precision)
    values = h if batch_last else jnp.moveaxis(h, 0, -1)
    positions = Size(*values.shape[:2])
    with _refusing():
        check_groups(groups, weight.shape[4] * groups, weight.shape[5])
        window = slide_out(positions, *_sliding(weight.shape[2:4], stride, pad, dilation), _size(extra))
    if weight.shape[5] != values.shape[2]:
        raise _misfit(weight, f"{weight.shape[5]} output maps, and 'h' has {values.shape[2]}")
    x = kernels.local_transpose(values, weight, window, precision, _layout(groups, block, weight, positions))
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
    with _refusing():
        check_groups(groups, channels, maps)
        window = slide_over(Size(rows, columns), *_sliding((size.rows, size.columns), stride, pad, dilation))
    return window.outputs.rows, window.outputs.columns, size.rows, size.columns, channels // groups, maps


@contextmanager
def _refusing() -> Iterator[None]:
    """Raise what the compiler refuses as an error of arrays."""
    try:
        yield
    except Refused as error:
        raise refused("E716", error.message, *error.notes) from error


def _sliding(
    field: tuple[int, ...], stride: Extent, pad: Pad, dilation: Extent
) -> tuple[Size, Size, Padding, Size]:
    return Size(*field), _size(stride), _padding(pad), _size(dilation)


def _check(values: jax.Array, weight: jax.Array, precision: str) -> None:
    if precision != "float32" and precision not in ROUNDED:
        found = f"expected 'float32' or one of {', '.join(ROUNDED)} as 'precision', found '{precision}'"
        raise refused("E716", found)
    if values.ndim != 4:
        raise refused("E716", f"expected values with 4 axes, found {list(values.shape)}")
    if weight.ndim != 6:
        axes = "[output row, output column, field row, field column, map, output map]"
        raise refused("E716", f"expected 'weight' as {axes}, found {list(weight.shape)}")


def _layout(groups: int, block: Extent, weight: jax.Array, positions: Size) -> Layout:
    """Return which positions use which weights; raises `DataError` for more or fewer than there are positions or blocks."""
    sets, of = Size(*weight.shape[:2]), _size(block)
    most, layout = shared(Sharing(block=None if of == ONE else of), positions, groups)
    if of != ONE and sets != most:
        raise refused("E716", f"'weight' has {sets} sets of weights for {most} blocks of positions")
    if sets.rows > most.rows or sets.columns > most.columns:
        raise refused("E716", f"'weight' has {sets} sets of weights for {positions} positions")
    return layout


def _misfit(weight: jax.Array, what: str) -> LnetError:
    return refused("E716", f"'weight' {list(weight.shape)} is for {what}")


def _size(extent: Extent) -> Size:
    return Size(extent, extent) if isinstance(extent, int) else Size(*extent)


def _padding(pad: Pad) -> Padding:
    if not isinstance(pad, str):
        return Padding(zeros=_size(pad))
    if pad not in ("valid", "same"):
        raise refused("E716", f"expected zeros on each side, 'valid' or 'same' as 'pad', found '{pad}'")
    return Padding(pad)
