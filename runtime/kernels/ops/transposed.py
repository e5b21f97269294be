"""A transposed local layer: the input gradient used as a layer, then bias and activation."""

from __future__ import annotations

import jax

from lnet.compiler.ops.line import Finished
from lnet.compiler.ops.transposed import Transposed

from .activation import activate
from .base import LayerKernel, Roles, Values
from .local import local_transpose


def transposed(op: Transposed, values: Values, params: Roles, precision: str) -> jax.Array:
    """`[positions, maps in, batch]` to `[rows, columns, maps, batch]`."""
    return finished(op, local_transpose(values[0], params["weight"], op.window, precision, op.layout), params)


def finished(op: Transposed | Finished, sums: jax.Array, params: Roles) -> jax.Array:
    """Return sums with bias, `[rows, columns, maps]` or `[1, 1, maps]`, and activation."""
    return activate(sums if op.biases is None else sums + params["bias"][..., None], op.act)


KERNELS: dict[str, LayerKernel] = {"transposed": transposed}
