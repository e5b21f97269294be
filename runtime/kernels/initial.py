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

from lnet.compiler.core.shapes import Interval, Place, Region, Rows


def initial_weight(seed: int, name: str, shape: Sequence[int], fan_in: int, place: Place = None) -> jax.Array:
    """Return weights drawn from a normal distribution of standard deviation `1 / sqrt(fan_in)`.

    The first axes are positions (`[kr, kc, ...]` of a local layer, `[inputs, units]` of a dense one). Number k of
    position (i, j) is Threefry-2x32 (Salmon et al. 2011) of the counter (j, k) under the key of row i, so
    a `place` returns just that part of the whole, bit for bit.
    """
    extent, inner = (shape[1], tuple(shape[2:])) if len(shape) > 2 else (1, tuple(shape[1:]))
    rows, columns = [Interval(0, shape[0])], Interval(0, extent)
    match place:
        case Rows():
            rows = list(place.intervals)
        case Region():
            rows, columns = [place.rows], place.columns
    numbers = np.concatenate([np.arange(each.start, each.stop, dtype=np.uint32) for each in rows])
    bits: jax.Array = _bits(_key(seed, name), numbers, columns, prod(inner))
    weights: jax.Array = _normal(bits, np.float32(fan_in**-0.5)).reshape(*bits.shape[:2], *inner)
    return weights if len(shape) > 2 else weights[:, 0]


def _key(seed: int, name: str) -> jax.Array:
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
    uniform = (bits >> 9).astype(jnp.float32) * jnp.float32(2**-22) + jnp.float32(2**-23 - 1)  # in (-1, 1)
    normal: jax.Array = jax.lax.erf_inv(uniform) * (deviation * jnp.float32(sqrt(2)))
    return normal
