"""Layers of one line: pointwise functions, dense layers, crops, and layers of several operands."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Size

POINTWISE = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus}


def activate(x: jax.Array, function: str | None) -> jax.Array:
    """Apply a pointwise function by its name; None leaves the values as they are."""
    return x if function is None else POINTWISE[function](x)


def add_bias(h: jax.Array, bias: jax.Array) -> jax.Array:
    """Add `[kr, kc, maps]`, repeated over the sheet, to `[rows, columns, maps, batch]`."""
    rows = jnp.arange(h.shape[0]) % bias.shape[0]
    columns = jnp.arange(h.shape[1]) % bias.shape[1]
    return h + bias[rows][:, columns, :, None]


def dense(x: jax.Array, weight: jax.Array, bias: jax.Array | None, precision: str) -> jax.Array:
    """`[rows, columns, maps, batch]` to `[1, 1, units, batch]`; inputs in row, column, map order."""
    result = jnp.result_type(x, weight)
    flat = x.reshape(-1, x.shape[-1])
    if precision == "bfloat16":
        flat, weight = flat.astype(jnp.bfloat16), weight.astype(jnp.bfloat16)
    units = jnp.einsum("iu,ib->ub", weight, flat, preferred_element_type=result)
    return (units if bias is None else units + bias[:, None])[None, None]


def crop(x: jax.Array, start: Size, size: Size) -> jax.Array:
    """Return `size` rows and columns from `start` on."""
    return x[start.rows : start.rows + size.rows, start.columns : start.columns + size.columns]


def add(operands: Sequence[jax.Array]) -> jax.Array:
    """Return the sum of several values."""
    total = operands[0]
    for operand in operands[1:]:
        total = total + operand
    return total
