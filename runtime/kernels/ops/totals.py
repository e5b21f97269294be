"""Kernels of what tiles compute in the place of a normalisation over a whole sheet (compiler/ops/totals.py).

Values are `[rows, columns, maps, batch]`, or `[maps, 1, 1, batch]` of a tile's range of maps; totals
`[1, 1, groups, batch]`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.ops.totals import Centred, Grouped, Normalised, Totals

from .base import LayerKernel, Roles, Values
from .norm import scaled


def totals(op: Totals, values: Values, params: Roles, precision: str) -> jax.Array:
    """Sum values, or their squares, over all positions and the maps of each group."""
    x = _in_maps(op, values[0])
    found = jnp.sum(jnp.square(x) if op.squares else x, (0, 1))
    first, size, groups = op.maps.start, _size(op), _groups(op)
    before, after = first - groups.start * size, groups.stop * size - op.maps.stop
    of_groups = jnp.pad(found, ((before, after), (0, 0))).reshape(len(groups), size, -1).sum(1)
    return jnp.pad(of_groups, ((groups.start, op.groups - groups.stop), (0, 0)))[None, None]


def centred(op: Centred, values: Values, params: Roles, precision: str) -> jax.Array:
    """Subtract the mean of each group."""
    x, sums = values
    return (_in_maps(op, x) - _means(op, sums)).reshape(x.shape)


def normalised(op: Normalised, values: Values, params: Roles, precision: str) -> jax.Array:
    """Divide by the deviation of each group, then scale and shift."""
    x, squares = values
    y = _in_maps(op, x) / jnp.sqrt(_means(op, squares) + op.eps)
    return scaled(y, params, op.affine, op.positions, op.maps).reshape(x.shape)


def _in_maps(op: Grouped, x: jax.Array) -> jax.Array:
    return x.reshape(1, 1, -1, x.shape[-1]) if op.of_line else x


def _means(op: Grouped, found: jax.Array) -> jax.Array:
    """Return totals over the number of their values, at each of the op's maps: `[maps, batch]`."""
    size, groups = _size(op), _groups(op)
    means = found[0, 0, groups.start : groups.stop] * (op.groups / op.whole.values)
    first = op.maps.start - groups.start * size
    return jnp.repeat(means, size, axis=0)[first : first + op.maps.length]


def _size(op: Grouped) -> int:
    """Return the maps of a group."""
    return op.whole.maps // op.groups


def _groups(op: Grouped) -> range:
    """Return the groups that the op's maps are in."""
    return range(op.maps.start // _size(op), -(-op.maps.stop // _size(op)))


KERNELS: dict[str, LayerKernel] = {"totals": totals, "centred": centred, "normalised": normalised}
