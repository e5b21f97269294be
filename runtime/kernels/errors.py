"""Errors between two values, `[row, column, map, batch]`: of all positions, or a tile's part of them."""

from __future__ import annotations

from math import prod

import jax
import jax.numpy as jnp


def squared_error(left: jax.Array, right: jax.Array) -> jax.Array:
    """Sum of squared differences of two values."""
    return jnp.sum(jnp.square(left - right)) / left.shape[-1]


def dots(x: jax.Array, target: jax.Array) -> jax.Array:
    """Return the sums of `x.t`, `x.x` and `t.t` for each image: `[3, batch]`."""
    return jnp.stack([jnp.sum(a * b, axis=(0, 1, 2)) for a, b in ((x, target), (x, x), (target, target))])


def cosine_error(
    values: int, x: jax.Array, target: jax.Array, standings: jax.Array | None = None
) -> jax.Array:
    """`1 - x.t / sqrt((x.x + 1e-8) (t.t + 1e-8))` of two values of so many numbers.

    A tile counts its own part of `x.t`, and of the 1. The sums of all tiles, `[1, 1, 3 tiles, batch]`, are constants to it,
    so the gradients are entered by hand.
    """
    mine = dots(x, target)
    both = mine if standings is None else _added(standings)
    length = jnp.sqrt((both[1] + 1e-8) * (both[2] + 1e-8))
    error = prod(x.shape[:-1]) / values - mine[0] / length
    if standings is None:
        return jnp.mean(error)
    pull = both[0] / length
    of_x = (pull / (both[1] + 1e-8)) * x - target / length
    of_target = (pull / (both[2] + 1e-8)) * target - x / length
    stop = jax.lax.stop_gradient
    learning = jnp.sum(stop(of_x) * x + stop(of_target) * target, axis=(0, 1, 2))
    return jnp.mean(stop(error - learning) + learning)


def _added(standings: jax.Array) -> jax.Array:
    """Return the sums of all tiles, added up in their order: `[3, batch]`."""
    return jnp.sum(standings[0, 0].reshape(-1, 3, standings.shape[-1]), axis=0)
