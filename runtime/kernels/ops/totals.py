"""Kernels of what tiles compute in the place of a normalisation over a whole sheet (compiler/ops/totals.py).

Values are `[rows, columns, maps, batch]`, or `[maps, 1, 1, batch]` of a tile's range of maps; totals
`[1, 1, groups, batch]`, and `[1, 1, groups, 1]` of a batch.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.ops.totals import Centred, Grouped, Normalised, Totals
from lnet.runtime.kernels.mode import Mode

from .base import LayerKernel, Roles, Values
from .norm import op_maps, scaled


def totals(op: Totals, values: Values, params: Roles, precision: str) -> jax.Array:
    """Sum values, or their squares, over all positions and the maps of each group; of a batch the mean of these."""
    x = op_maps(values[0], op.of_line)
    found = jnp.sum(jnp.square(x) if op.squares else x, (0, 1))
    found = jnp.mean(found, -1, keepdims=True) if op.batch else found
    first, size, groups = op.maps.start, _size(op), _groups(op)
    before, after = first - groups.start * size, groups.stop * size - op.maps.stop
    of_groups = jnp.pad(found, ((before, after), (0, 0))).reshape(len(groups), size, -1).sum(1)
    return jnp.pad(of_groups, ((groups.start, op.groups - groups.stop), (0, 0)))[None, None]


def observed(op: Totals, total: jax.Array) -> dict[str, jax.Array]:
    """Return a tile's part of what a batch adds to the running values: its totals over the number of all values."""
    assert op.batch is not None, "only a batch has running values"
    return {"variance" if op.squares else "mean": _mean(op, total)[0, 0, :, 0]}


def centred(op: Centred, values: Values, params: Roles, precision: str, mode: Mode) -> jax.Array:
    """Subtract the mean of each group."""
    x, sums = values
    return (op_maps(x, op.of_line) - _means(op, sums, params, "mean", mode)).reshape(x.shape)


def normalised(op: Normalised, values: Values, params: Roles, precision: str, mode: Mode) -> jax.Array:
    """Divide by the deviation of each group, then scale and shift."""
    x, squares = values
    y = op_maps(x, op.of_line) / jnp.sqrt(_means(op, squares, params, "variance", mode) + op.eps)
    return scaled(y, params, op.maps).reshape(x.shape)


def _means(op: Grouped, totals: jax.Array, params: Roles, role: str, mode: Mode) -> jax.Array:
    """Return totals over the number of their values, at each of the op's maps, `[maps, batch]`; or running values."""
    if op.batch and not mode.by_batch:
        return params[role][:, None]
    size, groups = _size(op), _groups(op)
    means = _mean(op, totals)[0, 0, groups.start : groups.stop]
    first = op.maps.start - groups.start * size
    return jnp.repeat(means, size, axis=0)[first : first + op.maps.length]


def _mean(op: Grouped, totals: jax.Array) -> jax.Array:
    """Return totals over the number of an image's values in a group."""
    return totals * (op.groups / op.whole.values)


def _size(op: Grouped) -> int:
    """Return the maps of a group."""
    return op.whole.maps // op.groups


def _groups(op: Grouped) -> range:
    """Return the groups that the op's maps are in."""
    return range(op.maps.start // _size(op), -(-op.maps.stop // _size(op)))


KERNELS: dict[str, LayerKernel] = {"totals": totals, "centred": centred, "normalised": normalised}
