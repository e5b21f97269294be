"""Local layers whose positions share weights: convolutions, one for each set of weights.

Position `i, j` uses set `i mod kr, j mod kc`, so the positions of one set are a convolution of `kr, kc` times the
stride, which begins at the set's first position:

    stride 1, k = 2:    position   0 1 2 3 4        set 0: 0 2 4    reads from input 0 in steps of 2
                        set        0 1 0 1 0        set 1: 1 3      reads from input 1 in steps of 2

The sets are taken one after the other by `lax.map`, so that compiled size does not depend on their number.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.shapes import Slide, Window


def shared(x: jax.Array, weight: jax.Array, window: Window, precision: str = "float32") -> jax.Array:
    """`h[i,j,m] = sum_uvc W[i mod kr, j mod kc, u,v,c,m] x[i*s+u-p, j*s+v-p, c]`.

    `x` `[rows, columns, maps in, batch]`, `weight` `[kr, kc, field rows, field columns, maps in, maps]`; returns
    `[output rows, output columns, maps, batch]`.
    """
    sets = weight.shape[0], weight.shape[1]
    counts = -(-window.rows.outputs // sets[0]), -(-window.columns.outputs // sets[1])
    reach = [
        (count - 1) * k * slide.stride + slide.field
        for count, k, slide in zip(counts, sets, (window.rows, window.columns), strict=True)
    ]
    padded = _pad(x, window, sets, reach)
    stride = sets[0] * window.rows.stride, sets[1] * window.columns.stride

    def one_set(scanned: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        row, column, kernel = scanned
        start = (row * window.rows.stride, column * window.columns.stride, 0, 0)
        seen = lax.dynamic_slice(padded, start, (reach[0], reach[1], *padded.shape[2:]))
        return _convolve(seen, kernel, stride, precision)

    rows, columns = (i.reshape(-1) for i in jnp.indices(sets))
    h = lax.map(one_set, (rows, columns, weight.reshape(-1, *weight.shape[2:])))
    return _interleave(h, sets)[: window.rows.outputs, : window.columns.outputs]


def shared_transpose(
    h: jax.Array, weight: jax.Array, window: Window, precision: str = "float32"
) -> jax.Array:
    """The transpose of `shared`: `[output rows, output columns, maps, batch]` to `[rows, columns, maps in, batch]`."""
    shape = (window.rows.extent, window.columns.extent, weight.shape[-2], h.shape[-1])
    _, transpose = jax.vjp(lambda x: shared(x, weight, window, precision), jnp.zeros(shape, h.dtype))
    x: jax.Array = transpose(h)[0]
    return x


def _pad(x: jax.Array, window: Window, sets: tuple[int, int], reach: list[int]) -> jax.Array:
    """Pad or crop the inputs to what all sets, positions beyond the sheet included, reach."""

    def padding(slide: Slide, k: int, reached: int) -> tuple[int, int, int]:
        return slide.before, (k - 1) * slide.stride + reached - slide.before - slide.extent, 0

    rows = padding(window.rows, sets[0], reach[0])
    columns = padding(window.columns, sets[1], reach[1])
    return lax.pad(x, jnp.zeros((), x.dtype), [rows, columns, (0, 0, 0), (0, 0, 0)])


def _convolve(x: jax.Array, kernel: jax.Array, stride: tuple[int, int], precision: str) -> jax.Array:
    result = jnp.result_type(x, kernel)
    if precision == "bfloat16":
        x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    x, kernel = x.astype(result), kernel.astype(result)
    return lax.conv_general_dilated(x, kernel, stride, "VALID", dimension_numbers=("HWCN", "HWIO", "HWCN"))


def _interleave(h: jax.Array, sets: tuple[int, int]) -> jax.Array:
    """`[sets, rows, columns, ...]` to the sheet in which positions of all sets alternate."""
    grid = h.reshape(*sets, *h.shape[1:])
    grid = jnp.moveaxis(grid, (0, 1), (1, 3))
    return grid.reshape(grid.shape[0] * grid.shape[1], grid.shape[2] * grid.shape[3], *grid.shape[4:])
