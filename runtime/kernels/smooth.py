"""Similarity of the weights of neighbouring units (compiler/objectives/smooth.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.schedule import TermShare
from lnet.compiler.cut.weights import OWN, Border
from lnet.compiler.objectives import Smooth

Weights = Mapping[str, Sequence[jax.Array]]
"""Parameters of a layer that a term reads: a tile's `own`, and of units beyond them those to the `right`, `below` and at
the `corner` that other tiles own."""


Extent = tuple[int, int]
Pairs = tuple[Extent, Extent, Extent]
"""So many rows and columns of pairs of neighbours; the row and column of the first unit, and that of its neighbour."""


def smooth(term: Smooth, share: TermShare, weights: Weights) -> jax.Array:
    """Mean over pairs of neighbours of `1 - w.w' / sqrt((w.w + 1e-8)(w'.w' + 1e-8))`: the part of a tile's own pairs."""
    own = _units(weights["own"], term.patch)
    near = _with_neighbours(own, term.patch, share.border, weights)
    (rows, columns), (down, right) = own.shape[:2], near.shape[:2]
    down, right = min(rows, down - 1), min(columns, right - 1)
    pairs: tuple[Pairs, ...] = (((rows, right), (0, 0), (0, 1)), ((down, columns), (0, 0), (1, 0)))
    if term.neighbours == 8:
        pairs += (((down, right), (0, 0), (1, 1)), ((down, right), (0, 1), (1, 0)))
    return _unlike(near, pairs) / share.pairs


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _unlike(units: jax.Array, pairs: tuple[Pairs, ...]) -> jax.Array:
    """Sum over pairs of one minus their cosine.

    With `u` a unit's vector at length 1 and `s` the sum of its neighbours', the gradient is `(u (u.s) - s) / |w|`. `s` gives
    the sum as well, so both take one pass over the neighbours.
    """
    return _unlike_forward(units, pairs)[0]


def _unlike_forward(units: jax.Array, pairs: tuple[Pairs, ...]) -> tuple[jax.Array, jax.Array]:
    scale = jax.lax.rsqrt(jnp.sum(jnp.square(units), axis=2, keepdims=True) + 1e-8)
    unit = units * scale
    near = _sum_of_neighbours(unit, pairs)
    count = _sum_of_neighbours(jnp.ones_like(unit, shape=(*unit.shape[:2], 1, 1)), pairs)
    like = jnp.sum(unit * near, axis=2, keepdims=True)
    return jnp.sum(count - like) / 2, (unit * like - near) * scale


def _unlike_backward(pairs: tuple[Pairs, ...], slope: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (slope * gradient,)


_unlike.defvjp(_unlike_forward, _unlike_backward)


def _sum_of_neighbours(units: jax.Array, pairs: tuple[Pairs, ...]) -> jax.Array:
    total = jnp.zeros_like(units)
    for size, one, other in pairs:
        for to, source in ((one, other), (other, one)):
            part = units[tuple(slice(start, start + n) for start, n in zip(source, size, strict=True))]
            around = [
                (start, all_ - start - n) for start, n, all_ in zip(to, size, units.shape, strict=False)
            ]
            total += jnp.pad(part, [*around, (0, 0), (0, 0)])
    return total


def _with_neighbours(own: jax.Array, patch: Size | None, border: Border, weights: Weights) -> jax.Array:
    """Return a tile's units with a column of those beyond them to the right, and a row below, where there are such."""
    top = own
    if border.right == OWN:
        top = jnp.concatenate([own, own[:, :1]], axis=1)
    elif border.right is not None:
        top = jnp.concatenate([own, _units(weights["right"], patch and Size(patch.rows, 1))], axis=1)
    if border.below is None:
        return top
    if border.below == OWN:
        return jnp.concatenate([top, top[:1]])
    below = _units(weights["below"], patch and Size(1, patch.columns))
    if border.right == OWN:
        below = jnp.concatenate([below, below[:, :1]], axis=1)
    elif border.corner is not None:
        below = jnp.concatenate([below, _units(weights["corner"], patch and Size(1, 1))], axis=1)
    elif border.right is not None:  # nothing is compared with it
        below = jnp.concatenate([below, jnp.zeros_like(below[:, :1])], axis=1)
    return jnp.concatenate([top, below])


def _units(arrays: Sequence[jax.Array], patch: Size | None) -> jax.Array:
    """Return the vectors of units, `[rows, columns, values, sheets]`, from parameters `[row, column, ..., map]`.

    One sheet of patches, or without one a sheet of each map.
    """
    flat = [array.reshape(*array.shape[:2], -1, array.shape[-1]) for array in arrays]
    vectors = jnp.concatenate(flat, axis=2) if len(flat) > 1 else flat[0]
    if patch is None:
        return vectors
    rows, columns, values, _ = vectors.shape
    spread = vectors.reshape(rows, columns, values, patch.rows, patch.columns).transpose(0, 3, 1, 4, 2)
    return spread.reshape(rows * patch.rows, columns * patch.columns, values, 1)
