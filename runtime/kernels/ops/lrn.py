"""Local response normalisation: a sum of squares that slides along the maps."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.ops import LRN

from .base import LayerKernel, Roles, Values
from .pool import total


def lrn(op: LRN, values: Values, params: Roles, precision: str) -> jax.Array:
    """`x / (bias + alpha / size * sum x^2)^beta`, `[rows, columns, maps, batch]` in and out."""
    (x,) = values
    squares = total(jnp.square(x), op.slide, 2)
    return x * (op.bias + op.alpha / op.size * squares) ** -op.beta


KERNELS: dict[str, LayerKernel] = {"lrn": lrn}
