"""Initial weights: a function of seed, name and position alone, whoever computes them and in what pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp

from lnet.compiler.shapes import Region


def initial_weight(
    seed: int, name: str, shape: Sequence[int], fan_in: int, region: Region | None = None
) -> jax.Array:
    """Return weights drawn from a normal distribution of standard deviation `1 / sqrt(fan_in)`.

    The first axes are positions (`[kr, kc, ...]` of a local layer, `[inputs, units]` of a dense one): each has random
    numbers of its own, drawn from a counter, so `region` returns just that part of the whole, bit for bit.
    """
    rows, columns, inner = (
        (shape[0], shape[1], tuple(shape[2:])) if len(shape) > 2 else (shape[0], 1, tuple(shape[1:]))
    )
    here = (0, rows, 0, columns)
    if region is not None:
        here = (region.rows.start, region.rows.stop, region.columns.start, region.columns.stop)
    weights: jax.Array = _draw(_key(seed, name), here, inner, fan_in)
    return weights if len(shape) > 2 else weights[:, 0]


def _key(seed: int, name: str) -> jax.Array:
    """Return the key of a parameter: the halves of the seed and of a hash of the name, folded in."""
    digest = hashlib.sha256(name.encode()).digest()
    key = jax.random.key(seed & 0xFFFFFFFF, impl="threefry2x32")
    for word in (seed >> 32, int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")):
        key = jax.random.fold_in(key, word)
    return key


@partial(jax.jit, static_argnums=(1, 2, 3))
def _draw(key: jax.Array, here: tuple[int, int, int, int], inner: tuple[int, ...], fan_in: int) -> jax.Array:
    top, bottom, left, right = here

    def position(row: jax.Array, column: jax.Array) -> jax.Array:
        own = jax.random.fold_in(jax.random.fold_in(key, row), column)
        numbers: jax.Array = jax.random.normal(own, inner, jnp.float32) * jnp.float32(fan_in**-0.5)
        return numbers

    def one_row(row: jax.Array) -> jax.Array:
        drawn: jax.Array = jax.vmap(partial(position, row))(jnp.arange(left, right))
        return drawn

    weights: jax.Array = jax.lax.map(one_row, jnp.arange(top, bottom))
    return weights
