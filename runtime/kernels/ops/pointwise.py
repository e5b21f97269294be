"""Functions of each value alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .base import LayerKernel

POINTWISE = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus}


def activate(x: jax.Array, function: str | None) -> jax.Array:
    """Apply a pointwise function by its name; None leaves the values as they are."""
    return x if function is None else POINTWISE[function](x)


KERNELS: dict[str, LayerKernel] = {
    "pointwise": lambda op, values, params, precision: activate(values[0], op.function)
}
