"""The local layer, its transpose, and the gradients of both: three products, each by the kernel chosen for it.

`decode` is the input gradient used as a layer; its gradients are the other two products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Size, Window
from lnet.compiler.ops import Local
from lnet.compiler.ops.filters import PLAIN, Layout
from lnet.runtime.kernels import convolution
from lnet.runtime.kernels.choose import CONVOLUTION, choose
from lnet.runtime.kernels.native import blocks
from lnet.runtime.kernels.native import calls as native
from lnet.runtime.kernels.packed import calls as packed
from lnet.runtime.kernels.packed import tiling
from lnet.runtime.kernels.products import ANY_BATCH, FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Product

from .activation import activate
from .base import LayerKernel, Roles, Values

WAYS: Mapping[tuple[str, str], Callable[..., jax.Array]] = {
    (blocks.NATIVE, FORWARD): native.forward,
    (blocks.NATIVE, INPUT_GRADIENT): native.input_gradient,
    (blocks.NATIVE, WEIGHT_GRADIENT): native.weight_gradient,
    (tiling.PACKED, FORWARD): packed.forward,
    (tiling.TURNED, FORWARD): partial(packed.forward, turned=True),
    (tiling.PACKED, INPUT_GRADIENT): packed.input_gradient,
    (tiling.PACKED, WEIGHT_GRADIENT): packed.weight_gradient,
    (CONVOLUTION.form, FORWARD): convolution.forward,
    (CONVOLUTION.form, INPUT_GRADIENT): convolution.input_gradient,
    (CONVOLUTION.form, WEIGHT_GRADIENT): convolution.weight_gradient,
}
"""The function for each form of each product: `(left, right, product, shape of the choice)`."""

# --- layers ----------------------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def local(
    x: jax.Array, weight: jax.Array, window: Window, precision: str = "float32", layout: Layout = PLAIN
) -> jax.Array:
    """`h[i,j,m] = sum_uvc W[set of i, set of j, u,v,c,m] x[i*s+u*d-p, j*s+v*d-p, c]`.

    `x` `[rows, columns, maps in, batch]`, `weight` `[kr, kc, field rows, field columns, maps in of a group, maps]`; returns
    `[output rows, output columns, maps, batch]`.
    """
    return _forward(x, weight, window, precision, layout)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def local_transpose(
    h: jax.Array, weight: jax.Array, window: Window, precision: str = "float32", layout: Layout = PLAIN
) -> jax.Array:
    """`xhat[y,x,c] = sum over every (i,j,u,v) that touches (y,x) of sum_m D[set of i, set of j, u,v,c,m] h[i,j,m]`.

    The transpose of `local`: `h` `[output rows, output columns, maps, batch]`, returns `[rows, columns, maps in,
    batch]`.
    """
    return _input_gradient(h, weight, window, precision, layout)


Kept = tuple[jax.Array, jax.Array]
"""What a layer read, and its weights."""


def _local_forward(
    x: jax.Array, weight: jax.Array, window: Window, precision: str, layout: Layout
) -> tuple[jax.Array, Kept]:
    return _forward(x, weight, window, precision, layout), (x, weight)


def _local_backward(
    window: Window, precision: str, layout: Layout, kept: Kept, dh: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, weight = kept
    dx = _input_gradient(dh, weight, window, precision, layout).astype(x.dtype)
    return dx, _weight_gradient(x, dh, weight, window, precision, layout)


def _transpose_forward(
    h: jax.Array, weight: jax.Array, window: Window, precision: str, layout: Layout
) -> tuple[jax.Array, Kept]:
    return _input_gradient(h, weight, window, precision, layout), (h, weight)


def _transpose_backward(
    window: Window, precision: str, layout: Layout, kept: Kept, dx: jax.Array
) -> tuple[jax.Array, jax.Array]:
    h, weight = kept
    dh = _forward(dx, weight, window, precision, layout).astype(h.dtype)
    return dh, _weight_gradient(dx, h, weight, window, precision, layout)


local.defvjp(_local_forward, _local_backward)
local_transpose.defvjp(_transpose_forward, _transpose_backward)

# --- products --------------------------------------------------------------------------------------------


def _forward(x: jax.Array, weight: jax.Array, window: Window, precision: str, layout: Layout) -> jax.Array:
    return _computed(FORWARD, x, weight, _product(FORWARD, window, weight, x, precision, layout))


def _input_gradient(
    h: jax.Array, weight: jax.Array, window: Window, precision: str, layout: Layout
) -> jax.Array:
    return _computed(
        INPUT_GRADIENT, h, weight, _product(INPUT_GRADIENT, window, weight, h, precision, layout)
    )


def _weight_gradient(
    x: jax.Array, h: jax.Array, weight: jax.Array, window: Window, precision: str, layout: Layout
) -> jax.Array:
    product = _product(WEIGHT_GRADIENT, window, weight, x, precision, layout)
    return jnp.asarray(_computed(WEIGHT_GRADIENT, x, h, product), weight.dtype)


def _product(
    gives: str, window: Window, weight: jax.Array, values: jax.Array, precision: str, layout: Layout
) -> Product:
    batch = values.shape[-1] if isinstance(values.shape[-1], int) else ANY_BATCH
    sets, (of_group, maps) = Size(*weight.shape[:2]), weight.shape[-2:]
    return Product(gives, window, sets, of_group * layout.groups, maps, batch, precision, layout)


def _computed(gives: str, left: jax.Array, right: jax.Array, product: Product) -> jax.Array:
    choice = choose(product)
    return WAYS[choice.form, gives](left, right, product, choice.shape)


# --- the kernel ------------------------------------------------------------------------------------------


def _local(op: Local, values: Values, params: Roles, precision: str) -> jax.Array:
    h = local(values[0], params["weight"], op.window, precision, op.layout)
    if op.bias:
        rows, columns = (jnp.asarray(used) for used in op.sets_used())
        h = h + params["bias"][rows][:, columns, :, None]
    return activate(h, op.act)


KERNELS: dict[str, LayerKernel] = {"local": _local}
