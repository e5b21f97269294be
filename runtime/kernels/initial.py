"""Initial weights: a function of seed, name and position alone, so that every partition gives the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from math import prod, sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32

from lnet.compiler.core.layer import Parameter
from lnet.compiler.core.learned import Spread
from lnet.compiler.core.shapes import Interval, Place, Region, Rows, shape_at

from .unit import unit_vectors


def initial_values(parameter: Parameter, seed: int, place: Place = None) -> jax.Array:
    """Return the initial values of a parameter, or of the part at a place."""
    spread = parameter.spread
    if spread is None:
        return jnp.full(shape_at(parameter.shape, place), parameter.fill, float)
    weight = initial_weight(seed, parameter.name, parameter.shape, spread, place)
    return unit_vectors(weight) if parameter.unit else weight


def initial_weight(
    seed: int, name: str, shape: Sequence[int], spread: Spread, place: Place = None
) -> jax.Array:
    """Return weights drawn from a distribution.

    The first axes are positions (`[kr, kc, ...]` of a local layer, `[inputs, units]` of a dense one). Number k of
    position (i, j) is Threefry-2x32 (Salmon et al. 2011) of the counter (j, k) under the key of row i, so
    a `place` returns just that part of the whole, bit for bit. The numbers are float32's, in whatever type they are
    computed with.
    """
    extent, inner = (shape[1], tuple(shape[2:])) if len(shape) > 2 else (1, tuple(shape[1:]))
    rows, columns = [Interval(0, shape[0])], Interval(0, extent)
    match place:
        case Rows():
            rows = list(place.intervals)
        case Region():
            rows, columns = [place.rows], place.columns
    numbers = np.concatenate([np.arange(each.start, each.stop, dtype=np.uint32) for each in rows])
    bits: jax.Array = _bits(key_of(seed, name), numbers, columns, prod(inner))
    drawn = _uniform if spread.uniform else _normal
    weights: jax.Array = drawn(bits, np.float32(spread.scale)).reshape(*bits.shape[:2], *inner)
    return (weights if len(shape) > 2 else weights[:, 0]).astype(float)


def key_of(seed: int, name: str) -> jax.Array:
    """Return the key of a parameter, 64 bits of a hash of seed and name."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return jnp.asarray(np.frombuffer(digest[:8], "<u4"))


# Two functions, not one: fused, they take XLA ten times as long to compile.


@partial(jax.jit, static_argnums=(2, 3))
def _bits(key: jax.Array, rows: jax.Array, columns: Interval, count: int) -> jax.Array:
    """Return `count` random words for every position: `[rows, columns, count]`."""
    numbers = jnp.indices((columns.length, count), jnp.uint32)
    counters = jnp.concatenate([(numbers[0] + jnp.uint32(columns.start)).ravel(), numbers[1].ravel()])

    def one_row(row: jax.Array) -> jax.Array:
        own = threefry_2x32(key, jnp.stack([row, jnp.uint32(0)]))
        words: jax.Array = threefry_2x32(own, counters)[: counters.size // 2]
        return words.reshape(columns.length, count)

    bits: jax.Array = jax.lax.map(one_row, rows)
    return bits


@jax.jit
def _normal(bits: jax.Array, deviation: jax.Array) -> jax.Array:
    """Map random words to a normal distribution: its inverse cumulative function at 23 bits."""
    normal: jax.Array = jax.lax.erf_inv(_between_ones(bits)) * (deviation * jnp.float32(sqrt(2)))
    return normal


@jax.jit
def _uniform(bits: jax.Array, limit: jax.Array) -> jax.Array:
    """Map random words to numbers between the limit and its negative, at 23 bits."""
    uniform: jax.Array = _between_ones(bits) * limit
    return uniform


def _between_ones(bits: jax.Array) -> jax.Array:
    """Map random words to 2^23 numbers in (-1, 1), evenly spaced about 0."""
    numbers: jax.Array = (bits >> 9).astype(jnp.float32) * jnp.float32(2**-22) + jnp.float32(2**-23 - 1)
    return numbers
