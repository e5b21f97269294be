"""Kernels of what tiles compute in the place of a `pad` that wraps (compiler/ops/side.py)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.ops.side import Join

from .base import LayerKernel, Roles, Values


def join(op: Join, values: Values, params: Roles, precision: str) -> jax.Array:
    """Return sheets one below the other, or side by side; those of which nothing is read have no extents to rely on."""
    shown = [value for value, sheet in zip(values, op.sheets, strict=True) if sheet.values]
    return jnp.concatenate(shown, axis=0 if op.down else 1)


KERNELS: dict[str, LayerKernel] = {
    "side": lambda op, values, params, precision: values[0],
    "join": join,
}
