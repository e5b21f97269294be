"""Dropout: a mask by counter."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.ops.dropout import Dropout
from lnet.runtime.kernels.mode import Mode, random_words

from .base import LayerKernel, Roles, Values


def dropout(op: Dropout, values: Values, params: Roles, precision: str, mode: Mode) -> jax.Array:
    """Zero units whose random word is below `rate`, in training; `[rows, columns, maps, batch]`."""
    (x,) = values
    if mode.samples is None or not op.rate:
        return x
    words = random_words(mode, op.reads_sheet, op.within)
    dropped = words < jnp.uint32(min(round(op.rate * 2**32), 2**32 - 1))
    return jnp.where(dropped, 0, x / (1 - op.rate))


KERNELS: dict[str, LayerKernel] = {"dropout": dropout}
