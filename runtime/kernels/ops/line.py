"""Kernels of what tiles compute in the place of a dense layer, and on a transposed one's sums (compiler/ops/line.py)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.ops.line import Flat
from lnet.runtime.kernels.classes import peaks
from lnet.runtime.kernels.errors import dots

from .activation import activate
from .base import LayerKernel
from .dense import products
from .transposed import finished


def flat(op: Flat, x: jax.Array) -> jax.Array:
    """Return values in line, from the first place that the units write to to the last; zeros between them."""
    sheet, columns = op.reads_sheet, op.units.columns
    rows = jnp.pad(x, ((0, 0), (columns.start, sheet.width - columns.stop), (0, 0), (0, 0)))
    line = rows.reshape(-1, 1, 1, x.shape[-1])
    return line[columns.start * sheet.maps : len(line) - (sheet.width - columns.stop) * sheet.maps]


def _column(vector: jax.Array) -> jax.Array:
    return vector[:, None, None]


KERNELS: dict[str, LayerKernel] = {
    "added": lambda op, values, params, precision: values[0],
    "flat": lambda op, values, params, precision: flat(op, values[0]),
    "sums": lambda op, values, params, precision: _column(products(values[0], params["weight"], precision)),
    "units": lambda op, values, params, precision: activate(
        values[0] + params["bias"][:, None, None, None] if op.bias else values[0], op.act
    ),
    "finished": lambda op, values, params, precision: finished(op, values[0], params),
    "vector": lambda op, values, params, precision: values[0].reshape(1, 1, -1, values[0].shape[-1]),
    "peaks": lambda op, values, params, precision: peaks(values[0]),
    "dots": lambda op, values, params, precision: dots(*values)[None, None],
    "standings": lambda op, values, params, precision: values[0].reshape(1, 1, -1, values[0].shape[-1]),
}
