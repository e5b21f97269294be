"""NT-Xent: the two views of each image against those of all others in the batch (Chen et al. 2020)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .products import EXACT


def contrast(x: jax.Array, temperature: float) -> jax.Array:
    """Mean over rows `i` of `-log(exp(z_i.z_i' / t) / sum_{j != i} exp(z_i.z_j / t))`, `z = x / sqrt(x.x + 1e-8)`.

    `x` `[1, 1, values, batch]`, where row `i'` is the other view of the image of row `i`: 2k and 2k + 1.
    """
    vectors = x[0, 0]
    z = vectors / jnp.sqrt(jnp.sum(jnp.square(vectors), axis=0) + 1e-8)
    similarities = jnp.einsum("ni,nj->ij", z, z, precision=EXACT) / temperature
    rows = jnp.arange(x.shape[-1])
    others = jnp.where(rows[:, None] == rows, -jnp.inf, similarities)
    return jnp.mean(jax.nn.logsumexp(others, axis=1) - similarities[rows, rows ^ 1])
