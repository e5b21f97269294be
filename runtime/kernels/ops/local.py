"""The local layer and its transpose.

`decode` is the input gradient used as a layer.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Size, Window
from lnet.compiler.ops import Local
from lnet.compiler.ops.filters import PLAIN, Layout
from lnet.runtime.kernels.multiply import multiplied
from lnet.runtime.kernels.products import ANY_BATCH, FORWARD, INPUT_GRADIENT, Product

from .activation import activate
from .base import LayerKernel, Roles, Values

# --- layers ----------------------------------------------------------------------------------------------


def local(
    x: jax.Array, weight: jax.Array, window: Window, precision: str = "float32", layout: Layout = PLAIN
) -> jax.Array:
    """`h[i,j,m] = sum_uvc W[set of i, set of j, u,v,c,m] x[i*s+u*d-p, j*s+v*d-p, c]`.

    `x` `[rows, columns, maps in, batch]`, `weight` `[kr, kc, field rows, field columns, maps in of a group, maps]`; returns
    `[output rows, output columns, maps, batch]`.
    """
    return multiplied(x, weight, _product(FORWARD, window, weight, precision, layout))


def local_transpose(
    h: jax.Array, weight: jax.Array, window: Window, precision: str = "float32", layout: Layout = PLAIN
) -> jax.Array:
    """`xhat[y,x,c] = sum over every (i,j,u,v) that touches (y,x) of sum_m D[set of i, set of j, u,v,c,m] h[i,j,m]`.

    The transpose of `local`: `h` `[output rows, output columns, maps, batch]`, returns `[rows, columns, maps in,
    batch]`.
    """
    return multiplied(h, weight, _product(INPUT_GRADIENT, window, weight, precision, layout))


def _product(gives: str, window: Window, weight: jax.Array, precision: str, layout: Layout) -> Product:
    sets, (of_group, maps) = Size(*weight.shape[:2]), weight.shape[-2:]
    return Product(gives, window, sets, of_group * layout.groups, maps, ANY_BATCH, precision, layout)


# --- the kernel ------------------------------------------------------------------------------------------


def _local(op: Local, values: Values, params: Roles, precision: str) -> jax.Array:
    h = local(values[0], params["weight"], op.window, precision, op.layout)
    if op.bias:
        rows, columns = (jnp.asarray(used) for used in op.sets_used())
        h = h + params["bias"][rows][:, columns, :, None]
    return activate(h, op.act)


KERNELS: dict[str, LayerKernel] = {"local": _local}
