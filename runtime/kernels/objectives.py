"""Terms of the loss: sums over one image, means over the batch (docs/language.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lnet.compiler.cut.schedule import TermShare
from lnet.compiler.objectives import PerValue, Term

from . import classes, custom
from .contrast import contrast
from .errors import cosine_error, squared_error
from .smooth import Weights, smooth

TermKernel = Callable[[Any, TermShare, Sequence[jax.Array], Weights, jax.Array | None], jax.Array]
"""Of a term, what a tile counts of it, its operands, the parameters that it reads, and the labels."""


def _per_image(values: jax.Array) -> jax.Array:
    return jnp.sum(values) / values.shape[-1]


def l1(value: jax.Array) -> jax.Array:
    """Sum of absolute values."""
    return _per_image(jnp.abs(value))


def l2(value: jax.Array) -> jax.Array:
    """Sum of squares."""
    return _per_image(jnp.square(value))


def total(value: jax.Array) -> jax.Array:
    """Sum of values."""
    return _per_image(value)


def _over_weights(function: Callable[[jax.Array], jax.Array], weights: Weights) -> jax.Array:
    """Sum of a function of each weight: once a step, not for each image."""
    first, *others = (jnp.sum(function(weight)) for weight in weights["own"])
    return sum(others, start=first)


TERM_KERNELS: dict[str, TermKernel] = {
    "squared_error": lambda term, share, values, weights, labels: squared_error(*values),
    "mean_squared_error": lambda term, share, values, weights, labels: squared_error(*values) / term.values,
    "cosine_error": lambda term, share, values, weights, labels: cosine_error(term.values, *values),
    "l1": lambda term, share, values, weights, labels: l1(values[0]),
    "l2": lambda term, share, values, weights, labels: l2(values[0]),
    "total": lambda term, share, values, weights, labels: total(values[0]),
    "smooth": lambda term, share, values, weights, labels: smooth(term, share, weights),
    "weight_l2": lambda term, share, values, weights, labels: _over_weights(jnp.square, weights),
    "weight_l1": lambda term, share, values, weights, labels: _over_weights(jnp.abs, weights),
    "cross_entropy": lambda term, share, values, weights, labels: classes.cross_entropy(
        values[0], _needed(labels), share.first, *values[1:]
    ),
    "one_vs_all": lambda term, share, values, weights, labels: classes.one_vs_all(
        values[0], _needed(labels), share.first
    ),
    "contrast": lambda term, share, values, weights, labels: contrast(values[0], term.temperature),
}


def term_kernel(term: Term) -> TermKernel:
    """Return the function that computes a term, built-in or a plug-in's."""
    if isinstance(term, PerValue):
        return lambda term, share, values, weights, labels: total(custom.per_value(term, values))
    return TERM_KERNELS[term.kind]


def _needed(labels: jax.Array | None) -> jax.Array:
    assert labels is not None, "the caller checks that terms get the labels that they need"
    return labels
