"""Local layers whose positions share weights: convolutions, one for each set of weights.

Position `i, j` uses set `i mod kr, j mod kc`, so the positions of one set are a convolution of `kr, kc` times the
stride, which begins at the set's first position:

    stride 1, k = 2:    position   0 1 2 3 4        set 0: 0 2 4    reads from input 0 in steps of 2
                        set        0 1 0 1 0        set 1: 1 3      reads from input 1 in steps of 2

The sets are taken one after the other by `lax.map`, so that compiled size does not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.core.shapes import Size, Slide, Window

Shape = tuple[int, ...]


def forward(x: jax.Array, weight: jax.Array, window: Window, shape: Shape, precision: str) -> jax.Array:
    """`[rows, columns, maps in, batch]` to `[output rows, output columns, maps, batch]`."""
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


def input_gradient(
    h: jax.Array, weight: jax.Array, window: Window, shape: Shape, precision: str
) -> jax.Array:
    """`[output rows, output columns, maps, batch]` to `[rows, columns, maps in, batch]`."""
    inputs = (window.rows.extent, window.columns.extent, weight.shape[-2], h.shape[-1])
    return _transpose(lambda x: forward(x, weight, window, shape, precision), inputs, h)


def weight_gradient(
    x: jax.Array, h: jax.Array, window: Window, sets: Size, shape: Shape, precision: str
) -> jax.Array:
    """Inputs and the gradients of outputs to the gradient of `[kr, kc, field rows, field columns, maps in, maps]`."""
    weights = (sets.rows, sets.columns, window.field.rows, window.field.columns, x.shape[2], h.shape[2])
    return _transpose(lambda weight: forward(x, weight, window, shape, precision), weights, h)


def _transpose(function: Callable[[jax.Array], jax.Array], shape: Shape, gradients: jax.Array) -> jax.Array:
    """Return the gradient of a linear function of one array."""
    _, transpose = jax.vjp(function, jnp.zeros(shape, gradients.dtype))
    gradient: jax.Array = transpose(gradients)[0]
    return gradient


def _pad(x: jax.Array, window: Window, sets: tuple[int, int], reach: list[int]) -> jax.Array:
    """Pad or crop the inputs to those read by all sets, including positions beyond the sheet."""

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
