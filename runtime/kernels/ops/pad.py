"""Rows and columns around a sheet, put together from slices of it, one axis after the other."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.ops import Pad
from lnet.compiler.ops.pad import Axis, Run

from .base import LayerKernel, Roles, Values


def pad(op: Pad, values: Values, params: Roles, precision: str) -> jax.Array:
    """`[rows, columns, maps, batch]` of what is given to those that are shown."""
    (x,) = values
    if not op.rows.given.length:
        return jnp.zeros((op.sheet.height, op.sheet.width, *x.shape[2:]), x.dtype)
    return _padded(_padded(x, op.rows, op.fill, 0), op.columns, op.fill, 1)


def _padded(x: jax.Array, shown: Axis, fill: str, axis: int) -> jax.Array:
    runs = [_run(x, run, shown.given.start, axis) for run in shown.runs(fill)]
    return runs[0] if len(runs) == 1 else jnp.concatenate(runs, axis)


def _run(x: jax.Array, run: Run, first: int, axis: int) -> jax.Array:
    """Return the values of one run; `first` is the position of the first that is given."""
    shape = (*x.shape[:axis], run.length, *x.shape[axis + 1 :])
    if not run.source.length:
        return jnp.zeros(shape, x.dtype)
    shown = lax.slice_in_dim(x, run.source.start - first, run.source.stop - first, axis=axis)
    if run.source.length != run.length:
        return jnp.broadcast_to(shown, shape)
    return jnp.flip(shown, axis) if run.backward else shown


KERNELS: dict[str, LayerKernel] = {"pad": pad}
