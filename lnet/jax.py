"""The untied layer alone, for JAX programs that want nothing else of lnet: every position has weights of its own.

weight = 0.1 * jax.random.normal(key, lnet.jax.weight_shape((32, 32, 3), field=9, maps=8))
h = lnet.jax.local(images, weight)  # [batch, 32, 32, 3] -> [batch, 24, 24, 8]
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .untied import Extent, Pad, Sliding, check_values, product_of

__all__ = ["local", "local_transpose", "weight_shape"]


def local(
    x: jax.Array,
    weight: jax.Array,
    *,
    stride: Extent = 1,
    pad: Pad = 0,
    dilation: Extent = 1,
    groups: int = 1,
    block: Extent = 1,
    precision: str = "float32",
    batch_last: bool = False,
) -> jax.Array:
    """Return `h[i,j,m] = sum_uvc W[i,j,u,v,c,m] x[i*s+u*d-p, j*s+v*d-p, c]` of each image.

    `x` `[batch, row, column, map]`; `weight` `[output row, output column, field row, field column, map of a group,
    output map]`. With fewer rows and columns, positions share weights: position `i` uses row `i % rows`, so one row and
    one column make a convolution; with `block`, row `i // block`. `pad`: zeros on each side, or "same". Rows and columns
    that differ are given as a pair. `precision`: "tf32", "bfloat16" and "float16" round what is multiplied.
    `batch_last`: arrays are `[row, column, map, batch]`, as the kernels use them: nothing is transposed. Derivatives of
    any order, in both modes, use the same kernels. Raises `DataError` for arrays that do not fit.
    """
    check_values(x.shape)
    values = x if batch_last else jnp.moveaxis(x, 0, -1)
    product = Sliding(stride, pad, dilation, groups, block).forward(values.shape[:3], weight.shape)
    h = product_of(values, weight, product, precision)
    return h if batch_last else jnp.moveaxis(h, -1, 0)


def local_transpose(
    h: jax.Array,
    weight: jax.Array,
    *,
    stride: Extent = 1,
    pad: Pad = 0,
    dilation: Extent = 1,
    groups: int = 1,
    block: Extent = 1,
    extra: Extent = 0,
    precision: str = "float32",
    batch_last: bool = False,
) -> jax.Array:
    """Return the transpose of `local` with the same weights: `h[i,j]` times `W[i,j]`, added up where fields overlap.

    `h` `[batch, row, column, map]` with the layer's output maps; returns the layer's inputs. `pad` cuts off as many rows and
    columns as `local` would add, of which `extra` at the end are kept. Else as `local`.
    """
    check_values(h.shape)
    values = h if batch_last else jnp.moveaxis(h, 0, -1)
    product = Sliding(stride, pad, dilation, groups, block, extra).transpose(values.shape[:3], weight.shape)
    x = product_of(values, weight, product, precision)
    return x if batch_last else jnp.moveaxis(x, -1, 0)


def weight_shape(
    inputs: tuple[int, int, int],
    field: Extent,
    maps: int,
    *,
    stride: Extent = 1,
    pad: Pad = 0,
    dilation: Extent = 1,
    groups: int = 1,
) -> tuple[int, int, int, int, int, int]:
    """Return the shape of the weights with which `local` reads `inputs`, `(rows, columns, maps)`, unshared."""
    return Sliding(stride, pad, dilation, groups).weights(inputs, field, maps)
