"""The dense layer: one product."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.ops import Dense
from lnet.runtime.kernels.products import exactness, rounded

from .activation import activate
from .base import LayerKernel, Roles, Values


def dense(op: Dense, values: Values, params: Roles, precision: str) -> jax.Array:
    """`[rows, columns, maps, batch]` to `[1, 1, units, batch]`; inputs in row, column, map order."""
    units = products(values[0], params["weight"], precision)
    return activate((units + params["bias"][:, None] if op.bias else units)[None, None], op.act)


def products(x: jax.Array, weight: jax.Array, precision: str) -> jax.Array:
    """Return the sums of `[rows, columns, maps, batch]` times `[inputs, units]`: `[units, batch]`."""
    result = jnp.result_type(x, weight)
    flat, weight = rounded(precision, x.reshape(-1, x.shape[-1]), weight)
    exact = exactness(precision)
    return jnp.einsum("iu,ib->ub", weight, flat, precision=exact, preferred_element_type=result)


KERNELS: dict[str, LayerKernel] = {"dense": dense}
