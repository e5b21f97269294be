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
from lnet.runtime.kernels import convolution
from lnet.runtime.kernels.choose import CONVOLUTION, choose
from lnet.runtime.kernels.native import blocks
from lnet.runtime.kernels.native import calls as native
from lnet.runtime.kernels.packed import calls as packed
from lnet.runtime.kernels.packed import tiling
from lnet.runtime.kernels.products import ANY_BATCH, FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Product

from .base import LayerKernel, Roles, Values
from .pointwise import activate

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
"""The function for each form of each product: `(left, right, window, ..., shape of the choice, precision)`."""

# --- layers ----------------------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def local(x: jax.Array, weight: jax.Array, window: Window, precision: str = "float32") -> jax.Array:
    """`h[i,j,m] = sum_uvc W[i mod kr, j mod kc, u,v,c,m] x[i*s+u-p, j*s+v-p, c]`.

    `x` `[rows, columns, maps in, batch]`, `weight` `[kr, kc, field rows, field columns, maps in, maps]`; returns
    `[output rows, output columns, maps, batch]`.
    """
    return _forward(x, weight, window, precision)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def local_transpose(h: jax.Array, weight: jax.Array, window: Window, precision: str = "float32") -> jax.Array:
    """`xhat[y,x,c] = sum over every (i,j,u,v) that touches (y,x) of sum_m D[i mod kr, j mod kc, u,v,c,m] h[i,j,m]`.

    The transpose of `local`: `h` `[output rows, output columns, maps, batch]`, returns `[rows, columns, maps in,
    batch]`.
    """
    return _input_gradient(h, weight, window, precision)


Kept = tuple[jax.Array, jax.Array]
"""What a layer read, and its weights."""


def _local_forward(x: jax.Array, weight: jax.Array, window: Window, precision: str) -> tuple[jax.Array, Kept]:
    return _forward(x, weight, window, precision), (x, weight)


def _local_backward(window: Window, precision: str, kept: Kept, dh: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, weight = kept
    dx = _input_gradient(dh, weight, window, precision).astype(x.dtype)
    return dx, _weight_gradient(x, dh, weight, window, precision)


def _transpose_forward(
    h: jax.Array, weight: jax.Array, window: Window, precision: str
) -> tuple[jax.Array, Kept]:
    return _input_gradient(h, weight, window, precision), (h, weight)


def _transpose_backward(
    window: Window, precision: str, kept: Kept, dx: jax.Array
) -> tuple[jax.Array, jax.Array]:
    h, weight = kept
    dh = _forward(dx, weight, window, precision).astype(h.dtype)
    return dh, _weight_gradient(dx, h, weight, window, precision)


local.defvjp(_local_forward, _local_backward)
local_transpose.defvjp(_transpose_forward, _transpose_backward)

# --- products --------------------------------------------------------------------------------------------


def _forward(x: jax.Array, weight: jax.Array, window: Window, precision: str) -> jax.Array:
    way, shape = _chosen(FORWARD, window, weight, x, precision)
    return way(x, weight, window, shape, precision)


def _input_gradient(h: jax.Array, weight: jax.Array, window: Window, precision: str) -> jax.Array:
    way, shape = _chosen(INPUT_GRADIENT, window, weight, h, precision)
    return way(h, weight, window, shape, precision)


def _weight_gradient(
    x: jax.Array, h: jax.Array, weight: jax.Array, window: Window, precision: str
) -> jax.Array:
    way, shape = _chosen(WEIGHT_GRADIENT, window, weight, x, precision)
    sets = Size(*weight.shape[:2])
    return jnp.asarray(way(x, h, window, sets, shape, precision), weight.dtype)


def _chosen(
    gives: str, window: Window, weight: jax.Array, values: jax.Array, precision: str
) -> tuple[Callable[..., jax.Array], tuple[int, ...]]:
    batch = values.shape[-1] if isinstance(values.shape[-1], int) else ANY_BATCH
    sets, (maps_in, maps) = Size(*weight.shape[:2]), weight.shape[-2:]
    choice = choose(Product(gives, window, sets, maps_in, maps, batch, precision))
    return WAYS[choice.form, gives], choice.shape


# --- the kernel ------------------------------------------------------------------------------------------


def _local(op: Local, values: Values, params: Roles, precision: str) -> jax.Array:
    h = local(values[0], params["weight"], op.window, precision)
    return activate(_add_bias(h, params["bias"]) if op.bias else h, op.act)


def _add_bias(h: jax.Array, bias: jax.Array) -> jax.Array:
    """Add `[kr, kc, maps]`, repeated over the sheet, to `[rows, columns, maps, batch]`."""
    rows = jnp.arange(h.shape[0]) % bias.shape[0]
    columns = jnp.arange(h.shape[1]) % bias.shape[1]
    return h + bias[rows][:, columns, :, None]


KERNELS: dict[str, LayerKernel] = {"local": _local}
