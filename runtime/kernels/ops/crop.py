"""Rows and columns cut out of a sheet."""

from __future__ import annotations

import jax

from lnet.compiler.ops import Crop

from .base import LayerKernel, Roles, Values


def crop(op: Crop, values: Values, params: Roles, precision: str) -> jax.Array:
    """Return `size` rows and columns from `start` on."""
    start, size = op.start, op.size
    return values[0][start.rows : start.rows + size.rows, start.columns : start.columns + size.columns]


KERNELS: dict[str, LayerKernel] = {"crop": crop}
