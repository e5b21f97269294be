"""Vectors of length 1 (docs/language.md, `constrain = unit`)."""

from __future__ import annotations

import jax
import jax.numpy as jnp


@jax.jit
def unit_vectors(weight: jax.Array) -> jax.Array:
    """Return weights of which each vector `[set row, set column, :, :, :, map]` has length 1; one of zeros stays.

    Squares are added up in a fixed order, element by element, so that a part of the weights gets the bits of the whole.
    """
    rows, columns, *field, maps = weight.shape
    vectors = weight.reshape(rows, columns, -1, maps)
    # scaled first: squares of numbers below 1e-19 are 0 in float32
    largest = jnp.max(jnp.abs(vectors), axis=2, keepdims=True)
    vectors = vectors / jnp.where(largest > 0, largest, 1)
    lengths = jnp.sqrt(_sum_in_halves(jnp.square(vectors)))
    return (vectors / jnp.where(lengths > 0, lengths, 1)).reshape(rows, columns, *field, maps)


def _sum_in_halves(values: jax.Array) -> jax.Array:
    """Return the sums along the third axis, which stays as one of length 1: half is added to the other, time and again."""
    while values.shape[2] > 1:
        half = values.shape[2] // 2
        added = values[:, :, :half] + values[:, :, half : 2 * half]
        values = jnp.concatenate([added, values[:, :, 2 * half :]], axis=2)
    return values
