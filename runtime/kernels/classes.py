"""Objectives and ranks over classes: of all classes at once, or of a tile's range of them.

Scores are `[1, 1, classes, batch]` of all classes, or `[classes, 1, 1, batch]` of a tile's range, whose first class is
`first[0]`. `standings` are the peaks of all tiles, `[1, 1, tiles x (1 + BEST), batch]` (`peaks`), of which the tile's own
are number `first[1]`. Labels are integers `[batch]`. What tiles return adds up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import jax
import jax.numpy as jnp

from lnet.compiler.ops.line import BEST


def cross_entropy(
    scores: jax.Array, labels: jax.Array, first: Sequence[int], standings: jax.Array | None = None
) -> jax.Array:
    """Softmax loss: `log sum exp(y) - y[label]`.

    A tile counts the images whose label is in its range. The sum of exponentials is a constant from all tiles, so the
    gradient, the softmax of its range without the labels, is entered by hand.
    """
    if standings is None:
        logs = jax.nn.log_softmax(scores[0, 0], axis=0)
        return -jnp.mean(jnp.take_along_axis(logs, labels[None], axis=0))
    y, target = scores[:, 0, 0], _targets(scores, labels, first)
    log_sum = _log_sum(_by_tile(standings))
    loss = jnp.sum(target * (log_sum - y)) / y.shape[-1]
    gradient = jax.lax.stop_gradient(jnp.exp(y - log_sum) - target) / y.shape[-1]
    learning = jnp.sum(gradient * y)
    return jax.lax.stop_gradient(loss - learning) + learning


def one_vs_all(scores: jax.Array, labels: jax.Array, first: Sequence[int]) -> jax.Array:
    """Sum over classes of independent logistic losses."""
    y, target = _vector(scores), _targets(scores, labels, first)
    return jnp.sum(jax.nn.softplus(y) - target * y) / y.shape[-1]


def class_ranks(
    scores: jax.Array, labels: jax.Array, first: Sequence[int] = (0,), standings: jax.Array | None = None
) -> jax.Array:
    """Return the number of classes that score above each image's label, `[batch]`; ties go to the first class.

    Ranks from `BEST` on may come out lower, though not below it; images whose label is in no range here come after all.
    """
    y, target = _vector(scores), _targets(scores, labels, first)
    numbers = jnp.arange(y.shape[0])[:, None] + first[0]
    own = jnp.sum(jnp.where(target > 0, y, 0), axis=0)
    rank = jnp.sum((y > own) | ((y == own) & (numbers < labels)), axis=0)
    if standings is None:
        return rank
    best = _by_tile(standings)[:, 1:]
    tiles = jnp.arange(len(best))[:, None, None]
    above = (best > own) | ((best == own) & (tiles < first[1]))
    rank = rank + jnp.sum(above & (tiles != first[1]), axis=(0, 1))
    return jnp.where(jnp.any(target > 0, axis=0), rank, len(best) * BEST + len(y))


def peaks(scores: jax.Array) -> jax.Array:
    """Return a range's sum of exponentials above its highest score, and its highest scores: `[1, 1, 1 + BEST, batch]`."""
    y = scores[:, 0, 0]
    best = jax.lax.top_k(y.T, min(BEST, len(y)))[0].T
    missing = jnp.full((BEST - len(best), y.shape[-1]), -jnp.inf, y.dtype)
    total = jnp.sum(jnp.exp(y - best[:1]), axis=0, keepdims=True)
    return jnp.concatenate([total, best, missing])[None, None]


def _by_tile(standings: jax.Array) -> jax.Array:
    return standings[0, 0].reshape(-1, 1 + BEST, standings.shape[-1])


def _log_sum(found: jax.Array) -> jax.Array:
    """Return the logarithm of the sum of all exponentials, added up in the order of the tiles: `[batch]`."""
    highest = jnp.max(found[:, 1], axis=0)
    return highest + jnp.log(jnp.sum(found[:, 0] * jnp.exp(found[:, 1] - highest), axis=0))


def _vector(scores: jax.Array) -> jax.Array:
    return scores.reshape(prod(scores.shape[:-1]), scores.shape[-1])


def _targets(scores: jax.Array, labels: jax.Array, first: Sequence[int]) -> jax.Array:
    """Return 1 at each image's label, 0 elsewhere: `[classes, batch]`."""
    return jax.nn.one_hot(labels - first[0], len(_vector(scores)), dtype=scores.dtype, axis=0)
