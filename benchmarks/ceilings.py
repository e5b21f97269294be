"""What a device reaches at most: the rate at which it copies memory, and that of a dense product."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from timing import jitted, medians


def copy_rate(numbers: int) -> float:
    """Return the bytes a second that are read and written where an array is copied."""
    array = jnp.zeros(numbers)
    return 8 * numbers / 1e-3 / medians({"": jitted(lambda a: a + 1, array)})[""]


def dense_rate(size: int, precision: str) -> float:
    """Return the operations a second of a product of square matrices."""
    of = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    how = jax.lax.Precision.HIGHEST if precision == "float32" else jax.lax.Precision.DEFAULT
    matrix = jax.random.normal(jax.random.key(0), (size, size)).astype(of)
    multiply = jitted(lambda a: jnp.matmul(a, a, precision=how, preferred_element_type=jnp.float32), matrix)
    return 2 * size**3 / 1e-3 / medians({"": multiply})[""]
