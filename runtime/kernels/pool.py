"""Pools: a reduction over each field of each map alone, rows first and columns after."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.shapes import Slide, Window

Reduction = Callable[[jax.Array, jax.Array], jax.Array]


def l2pool(x: jax.Array, window: Window, eps: float) -> jax.Array:
    """`sqrt(eps + sum of squares over the field)`; `[rows, columns, maps, batch]` in and out."""
    return jnp.sqrt(eps + _sum(jnp.square(x), window))


def avgpool(x: jax.Array, window: Window) -> jax.Array:
    """The mean of the field, zeros of the padding included."""
    return _sum(x, window) / (window.rows.field * window.columns.field)


def maxpool(x: jax.Array, window: Window) -> jax.Array:
    """The largest value of the field, zeros of the padding included."""
    return _by_axis(x, window, jnp.maximum)


def _sum(x: jax.Array, window: Window) -> jax.Array:
    return _by_axis(x, window, jnp.add)


def _by_axis(x: jax.Array, window: Window, reduce: Reduction) -> jax.Array:
    return _slide(_slide(x, window.rows, 0, reduce), window.columns, 1, reduce)


def _slide(x: jax.Array, slide: Slide, axis: int, reduce: Reduction) -> jax.Array:
    """Reduce over a field that slides along one axis: a few shifted slices, whatever the extent is."""
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (slide.before, slide.after, 0)
    padded = lax.pad(x, jnp.zeros((), x.dtype), padding)
    reach = (slide.outputs - 1) * slide.stride + 1

    def shifted(offset: int) -> jax.Array:
        return lax.slice_in_dim(padded, offset, offset + reach, slide.stride, axis)

    return _tree(reduce, shifted, slide.field)


def _tree(reduce: Reduction, shifted: Callable[[int], jax.Array], count: int) -> jax.Array:
    total = shifted(0)
    for offset in range(1, count):
        total = reduce(total, shifted(offset))
    return total
