"""Layers of several operands."""

from __future__ import annotations

from functools import reduce
from operator import add

import jax.numpy as jnp

from .base import LayerKernel

KERNELS: dict[str, LayerKernel] = {
    "concat": lambda op, values, params, precision: jnp.concatenate(values, axis=2),
    "add": lambda op, values, params, precision: reduce(add, values),
}
