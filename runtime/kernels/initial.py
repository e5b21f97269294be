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
    if isinstance(place, Rows):
        columns = Interval(0, shape[1] if len(shape) > 2 else 1)
        regions = [Region(rows, columns) for rows in place.intervals]
        return jnp.concatenate([_at(seed, name, shape, fan_in, region) for region in regions])
    return _at(seed, name, shape, fan_in, place)


def _at(seed: int, name: str, shape: Sequence[int], fan_in: int, region: Region | None) -> jax.Array:
    rows, columns, inner = (
        (shape[0], shape[1], tuple(shape[2:])) if len(shape) > 2 else (shape[0], 1, tuple(shape[1:]))
    )
    here = (0, rows, 0, columns)
    if region is not None:
        here = (region.rows.start, region.rows.stop, region.columns.start, region.columns.stop)
    bits: jax.Array = _bits(_key(seed, name), here, prod(inner))
    weights: jax.Array = _normal(bits, np.float32(fan_in**-0.5)).reshape(*bits.shape[:2], *inner)
    return weights if len(shape) > 2 else weights[:, 0]


def _key(seed: int, name: str) -> jax.Array:
    """Return the key of a parameter, 64 bits of a hash of seed and name."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return jnp.asarray(np.frombuffer(digest[:8], "<u4"))


# Two functions, not one: fused, they take XLA ten times as long to compile.


@partial(jax.jit, static_argnums=(1, 2))
def _bits(key: jax.Array, here: tuple[int, int, int, int], count: int) -> jax.Array:
    """Return `count` random words for every position: `[rows, columns, count]`."""
    top, bottom, left, right = here
    numbers = jnp.indices((right - left, count), jnp.uint32)
    counters = jnp.concatenate([(numbers[0] + jnp.uint32(left)).ravel(), numbers[1].ravel()])

    def one_row(row: jax.Array) -> jax.Array:
        own = threefry_2x32(key, jnp.stack([row, jnp.uint32(0)]))
        words: jax.Array = threefry_2x32(own, counters)[: counters.size // 2]
        return words.reshape(right - left, count)

    bits: jax.Array = jax.lax.map(one_row, jnp.arange(top, bottom, dtype=jnp.uint32))
    return bits


@jax.jit
def _normal(bits: jax.Array, deviation: jax.Array) -> jax.Array:
    """Map random words to a normal distribution: its inverse cumulative function at 23 bits."""
    uniform = (bits >> 9).astype(jnp.float32) * jnp.float32(2**-22) + jnp.float32(2**-23 - 1)  # in (-1, 1)
    normal: jax.Array = jax.lax.erf_inv(uniform) * (deviation * jnp.float32(sqrt(2)))
    return normal
