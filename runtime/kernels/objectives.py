"""Terms of the loss: sums over one image, means over the batch (docs/language.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Region, Size
from lnet.compiler.cut.schedule import TermShare
from lnet.compiler.objectives import PerValue, Term

from . import classes, custom

TermKernel = Callable[[TermShare, Sequence[jax.Array], jax.Array | None, jax.Array | None], jax.Array]
"""Of what a tile counts of a term, its operands, the weights that it reads, and the labels."""


def _per_image(values: jax.Array) -> jax.Array:
    return jnp.sum(values) / values.shape[-1]


def squared_error(left: jax.Array, right: jax.Array) -> jax.Array:
    """Sum of squared differences of two values."""
    return _per_image(jnp.square(left - right))


def l1(value: jax.Array) -> jax.Array:
    """Sum of absolute values."""
    return _per_image(jnp.abs(value))


def l2(value: jax.Array) -> jax.Array:
    """Sum of squares."""
    return _per_image(jnp.square(value))


def total(value: jax.Array) -> jax.Array:
    """Sum of values."""
    return _per_image(value)


def smooth(weight: jax.Array, owned: Size | None, pairs: int) -> jax.Array:
    """Mean over maps and pairs of neighbours of `1 - w.w' / sqrt((w.w + 1e-8)(w'.w' + 1e-8))`.

    `weight` `[rows, columns, field rows, field columns, maps in, maps]`; only pairs whose upper or left position is
    among the first rows and columns that are `owned` are summed (None: all), over the number of all `pairs`.
    """
    rows, columns = (owned.rows, owned.columns) if owned else weight.shape[:2]
    w = weight.reshape(*weight.shape[:2], -1, weight.shape[-1])
    norm = jnp.sum(jnp.square(w), axis=2) + 1e-8

    def differences(a: tuple[slice, slice], b: tuple[slice, slice]) -> jax.Array:
        return 1 - jnp.sum(w[a] * w[b], axis=2) / jnp.sqrt(norm[a] * norm[b])

    last_row, last_column = min(rows, w.shape[0] - 1), min(columns, w.shape[1] - 1)
    side = differences((slice(rows), slice(last_column)), (slice(rows), slice(1, last_column + 1)))
    above = differences((slice(last_row), slice(columns)), (slice(1, last_row + 1), slice(columns)))
    return (jnp.sum(side) + jnp.sum(above)) / pairs


TERM_KERNELS: dict[str, TermKernel] = {
    "squared_error": lambda share, values, weight, labels: squared_error(values[0], values[1]),
    "l1": lambda share, values, weight, labels: l1(values[0]),
    "l2": lambda share, values, weight, labels: l2(values[0]),
    "total": lambda share, values, weight, labels: total(values[0]),
    "smooth": lambda share, values, weight, labels: smooth(
        _needed(weight), _size(share.owned[0]), share.pairs
    ),
    "cross_entropy": lambda share, values, weight, labels: classes.cross_entropy(
        values[0], _needed(labels), share.first, *values[1:]
    ),
    "one_vs_all": lambda share, values, weight, labels: classes.one_vs_all(
        values[0], _needed(labels), share.first
    ),
}


def term_kernel(term: Term) -> TermKernel:
    """Return the function that computes a term, built-in or a plug-in's."""
    if isinstance(term, PerValue):
        return lambda share, values, weight, labels: total(custom.per_value(term, values))
    return TERM_KERNELS[term.kind]


def _size(region: Region | None) -> Size | None:
    return None if region is None else region.size


def _needed(array: jax.Array | None) -> jax.Array:
    assert array is not None, "labels and weights: the caller checks that terms get what they need"
    return array
