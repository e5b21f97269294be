"""Functions of each value alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .base import LayerKernel

KERNELS: dict[str, LayerKernel] = {
    "relu": lambda op, values, params, precision: jax.nn.relu(values[0]),
    "leaky_relu": lambda op, values, params, precision: jax.nn.leaky_relu(values[0], op.slope),
    "elu": lambda op, values, params, precision: jax.nn.elu(values[0], op.alpha),
    "gelu": lambda op, values, params, precision: jax.nn.gelu(values[0], approximate=False),
    "silu": lambda op, values, params, precision: jax.nn.silu(values[0]),
    "tanh": lambda op, values, params, precision: jnp.tanh(values[0]),
    "sigmoid": lambda op, values, params, precision: jax.nn.sigmoid(values[0]),
    "softplus": lambda op, values, params, precision: jax.nn.softplus(values[0]),
    "abs": lambda op, values, params, precision: jnp.abs(values[0]),
}
