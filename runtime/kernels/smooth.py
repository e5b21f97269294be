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

from .choose import native
from .native.calls import cosines

Weights = Mapping[str, Sequence[jax.Array]]
"""Parameters of a layer that a term reads: a tile's `own`, and of units beyond them those to the `right`, `below` and at
the `corner` that other tiles own."""

Own = tuple[jax.Array, ...]
Joined = tuple[bool, bool]
"""Whether the last row of units is compared with the first, and the last column."""
Extent = tuple[int, int]
Pairs = tuple[Extent, Extent, Extent]
"""So many rows and columns of pairs of neighbours; the row and column of the first unit, and that of its neighbour."""
TO_THE_RIGHT: tuple[Extent, Extent] = ((0, 0), (0, 1))
BELOW: tuple[Extent, Extent] = ((0, 0), (1, 0))
ACROSS: tuple[tuple[Extent, Extent], ...] = (((0, 0), (1, 1)), ((0, 1), (1, 0)))


def smooth(term: Smooth, share: TermShare, weights: Weights) -> jax.Array:
    """Mean over pairs of neighbours of `1 - w.w' / sqrt((w.w + 1e-8)(w'.w' + 1e-8))`: the part of a tile's own pairs."""
    border = share.border
    within = _unlike_native if native() else _unlike_within
    joined = (border.below == OWN, border.right == OWN)
    total = within(tuple(weights["own"]), term.patch, term.neighbours, joined)
    if border.right not in (None, OWN):
        total += _unlike(*_across_the_right(term, border, weights))
    if border.below not in (None, OWN):
        total += _unlike(*_across_the_bottom(term, border, weights))
    return total / share.pairs


def _unlike_within(own: Own, patch: Size | None, neighbours: int, joined: Joined) -> jax.Array:
    """Sum over the pairs of a tile's own units of one minus their cosine: the whole sheet against itself, shifted."""
    unit = _of_length_1(_units(own, patch))
    total = jnp.zeros((), unit.dtype)
    for size, one, other in _pairs(unit.shape, neighbours, joined):
        neighbour = jnp.roll(unit, (one[0] - other[0], one[1] - other[1]), (0, 1))
        first = 0 if joined[0] else one[0], 0 if joined[1] else one[1]
        total += jnp.sum(1 - _block(jnp.sum(unit * neighbour, axis=2), first, size))
    return total


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _unlike_native(own: Own, patch: Size | None, neighbours: int, joined: Joined) -> jax.Array:
    """The same by code for this processor, which reads weights where they lie and finds value and gradient at once."""
    return _with_descent(own, patch, neighbours, joined)[0]


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _with_descent(own: Own, patch: Size | None, neighbours: int, joined: Joined) -> tuple[jax.Array, Own]:
    """Return the sum and its descent, the gradient times -1."""
    rows, columns, maps = *own[0].shape[:2], own[0].shape[-1]
    if patch:
        rows, columns, maps = rows * patch.rows, columns * patch.columns, 1
    count = maps * sum(down * right for (down, right), _, _ in _pairs((rows, columns), neighbours, joined))
    twice, gradients = cosines(own, patch, neighbours, joined)
    return count - twice / 2, tuple(gradients)


@_unlike_native.defjvp
def _jvp_of_value(
    patch: Size | None, neighbours: int, joined: Joined, at: tuple[Own], along: tuple[Own]
) -> tuple[jax.Array, jax.Array]:
    value, descent = _with_descent(*at, patch, neighbours, joined)
    return value, -sum(
        (jnp.vdot(d, w) for d, w in zip(descent, *along, strict=True)), jnp.zeros((), value.dtype)
    )


@_with_descent.defjvp
def _jvp_of_descent(
    patch: Size | None, neighbours: int, joined: Joined, at: tuple[Own], along: tuple[Own]
) -> tuple[tuple[jax.Array, Own], tuple[jax.Array, Own]]:
    """XLA's form is what is differentiated a second time."""

    def with_descent(own: Own) -> tuple[jax.Array, Own]:
        value, back = jax.vjp(lambda own: _unlike_within(own, patch, neighbours, joined), own)
        (descent,) = back(-jnp.ones_like(value))
        return value, descent

    return jax.jvp(with_descent, at, along)


def _pairs(shape: tuple[int, ...], neighbours: int, joined: Joined) -> tuple[Pairs, ...]:
    """Pairs of a tile's own units; in its last row and column only where it is joined to the first."""
    rows, columns = shape[:2]
    down, right = rows - (not joined[0]), columns - (not joined[1])
    beside: tuple[Pairs, ...] = (((rows, right), *TO_THE_RIGHT), ((down, columns), *BELOW))
    return beside + tuple(((down, right), *way) for way in ACROSS if neighbours == 8)


def _across_the_right(term: Smooth, border: Border, weights: Weights) -> tuple[jax.Array, tuple[Pairs, ...]]:
    """Units on both sides of a tile's right border, the corner too, and their pairs."""
    last = {side: [array[:, -1:] for array in arrays] for side, arrays in weights.items()}
    own = _units(last["own"], term.patch)
    near = _with_neighbours(own, term.patch, border, last)[:, -2:]
    rows, down = own.shape[0], min(own.shape[0], near.shape[0] - 1)
    across = tuple(((down, 1), *way) for way in ACROSS if term.neighbours == 8)
    return near, (((rows, 1), *TO_THE_RIGHT), *across)


def _across_the_bottom(term: Smooth, border: Border, weights: Weights) -> tuple[jax.Array, tuple[Pairs, ...]]:
    """Units on both sides of a tile's lower border, and their pairs; those of its corner are across the right border."""
    last = {side: [array[-1:] for array in arrays] for side, arrays in weights.items()}
    own = _units(last["own"], term.patch)
    near = _with_neighbours(own, term.patch, border, last)[-2:]
    columns = own.shape[1]
    right = columns - (border.right != OWN)
    across = tuple(((1, right), *way) for way in ACROSS if term.neighbours == 8)
    return near, (((1, columns), *BELOW), *across)


def _unlike(units: jax.Array, pairs: tuple[Pairs, ...]) -> jax.Array:
    """Sum over pairs of one minus their cosine."""
    unit = _of_length_1(units)
    return sum(
        (
            jnp.sum(1 - jnp.sum(_block(unit, one, size) * _block(unit, other, size), axis=2))
            for size, one, other in pairs
        ),
        start=jnp.zeros((), units.dtype),
    )


def _of_length_1(units: jax.Array) -> jax.Array:
    return units * jax.lax.rsqrt(jnp.sum(jnp.square(units), axis=2, keepdims=True) + 1e-8)


def _block(units: jax.Array, first: Extent, size: Extent) -> jax.Array:
    return units[tuple(slice(start, start + count) for start, count in zip(first, size, strict=True))]


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
    """Return the vectors of units, from parameters `[row, column, ..., map]`.

    Of one sheet of patches `[rows, columns, values]`, or without one of a sheet of each map `[row, column, value, map]`.
    """
    flat = [array.reshape(*array.shape[:2], -1, array.shape[-1]) for array in arrays]
    vectors = jnp.concatenate(flat, axis=2) if len(flat) > 1 else flat[0]
    if patch is None:
        return vectors
    rows, columns, values, _ = vectors.shape
    spread = vectors.reshape(rows, columns, values, patch.rows, patch.columns).transpose(0, 3, 1, 4, 2)
    return spread.reshape(rows * patch.rows, columns * patch.columns, values)
