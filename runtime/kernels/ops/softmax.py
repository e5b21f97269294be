"""The softmax over the maps of each position."""

from __future__ import annotations

import jax

from .base import LayerKernel

KERNELS: dict[str, LayerKernel] = {
    "softmax": lambda op, values, params, precision: jax.nn.softmax(values[0], axis=2)
}
