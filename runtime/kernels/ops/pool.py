"""Pools: a reduction over each field of each map alone, rows first and columns after.

A sum along one axis slides a field; its transpose slides the same field over the gradients of the outputs, laid out with the
stride between them. That is written out, because XLA makes of the slices' own transposes a sum of padded arrays, which
takes four times as long.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.core.shapes import Slide, Window
from lnet.runtime.kernels.linear import Shape, linear

from .base import LayerKernel


def l2pool(x: jax.Array, window: Window, eps: float) -> jax.Array:
    """`sqrt(eps + sum of squares over the field)`; `[rows, columns, maps, batch]` in and out."""
    return jnp.sqrt(eps + _sum(jnp.square(x), window))


def avgpool(x: jax.Array, window: Window) -> jax.Array:
    """The mean of the field, zeros of the padding included."""
    return _sum(x, window) / (window.rows.field * window.columns.field)


def maxpool(x: jax.Array, window: Window, zeros: bool = False) -> jax.Array:
    """The largest value of the field, padding ignored; `zeros`: padding counts as zeros."""
    padding = 0.0 if zeros else -jnp.inf
    return _largest(_largest(x, window.rows, 0, padding), window.columns, 1, padding)


def _sum(x: jax.Array, window: Window) -> jax.Array:
    return total(total(x, window.rows, 0), window.columns, 1)


def total(x: jax.Array, slide: Slide, axis: int) -> jax.Array:
    """Sum over a field that slides along one axis."""
    return _total(x, slide=slide, axis=axis, back=False)


def _summed(x: jax.Array, *, slide: Slide, axis: int, back: bool) -> jax.Array:
    """Return the sums or, `back`, their transpose."""
    if not back:
        padded = _pad(x, axis, slide.before, slide.after)
        return _slide(padded, slide.field, slide.outputs, slide.stride, axis, jnp.add)
    before, spread = slide.field - 1 - slide.before, (slide.outputs - 1) * slide.stride + 1
    after = slide.extent + slide.field - 1 - before - spread
    padded = _pad(x, axis, before, after, slide.stride - 1)
    return _slide(padded, slide.field, slide.extent, 1, axis, jnp.add)


def _shape(x: Shape, *, slide: Slide, axis: int, back: bool) -> Shape:
    return *x[:axis], slide.extent if back else slide.outputs, *x[axis + 1 :]


def _transposed(gradient: jax.Array, x: object, *, slide: Slide, axis: int, back: bool) -> jax.Array:
    return _total(gradient, slide=slide, axis=axis, back=not back)


def _mapped(
    operands: tuple[jax.Array], axes: tuple[int], *, slide: Slide, axis: int, back: bool
) -> tuple[jax.Array, int]:
    last = operands[0].ndim - 1
    return _total(jnp.moveaxis(operands[0], axes[0], last), slide=slide, axis=axis, back=back), last


_total = linear("total_of_fields", _summed, _shape, (_transposed,), _mapped)


def _largest(x: jax.Array, slide: Slide, axis: int, padding: float) -> jax.Array:
    padded = _pad(x, axis, slide.before, slide.after, value=padding)
    return _slide(padded, slide.field, slide.outputs, slide.stride, axis, jnp.maximum)


def _pad(x: jax.Array, axis: int, before: int, after: int, between: int = 0, value: float = 0.0) -> jax.Array:
    """Pad around and between the values of one axis with `value`; negative padding crops."""
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (before, after, between)
    return lax.pad(x, jnp.array(value, x.dtype), padding)


def _slide(
    x: jax.Array,
    field: int,
    outputs: int,
    stride: int,
    axis: int,
    reduce: Callable[[jax.Array, jax.Array], jax.Array],
) -> jax.Array:
    """Reduce over a field that slides along one axis, by a few shifted slices whatever the extent."""

    def shifted(offset: int) -> jax.Array:
        return lax.slice_in_dim(x, offset, offset + (outputs - 1) * stride + 1, stride, axis)

    total = shifted(0)
    for offset in range(1, field):
        total = reduce(total, shifted(offset))
    return total


KERNELS: dict[str, LayerKernel] = {
    "l2pool": lambda op, values, params, precision: l2pool(values[0], op.window, op.eps),
    "maxpool": lambda op, values, params, precision: maxpool(values[0], op.window, op.zeros),
    "avgpool": lambda op, values, params, precision: avgpool(values[0], op.window),
}
