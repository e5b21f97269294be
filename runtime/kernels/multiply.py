"""The products of a local layer as JAX computes, differentiates and maps them, each by the kernel chosen for it.

A product is linear in each of its two operands, and what differentiates one is another of the three:

    forward             (x, weight) -> h         input gradient   of x        weight gradient  of weight
    input gradient      (h, weight) -> x         forward          of h        weight gradient  of weight
    weight gradient     (x, h)      -> weight    input gradient   of x        forward          of h

So they are differentiated as often as one likes by the same kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from . import convolution
from .choose import CONVOLUTION, choose, portable
from .devices import EVERYWHERE, IMAGES, along_images, spread
from .gpu import tiles
from .linear import Shape, linear
from .native import blocks
from .native import calls as native
from .packed import calls as packed
from .packed import tiling
from .products import ANY_BATCH, FORWARD, GIVES, INPUT_GRADIENT, WEIGHT_GRADIENT, Choice, Product


def _gathered(gives: str, left: jax.Array, right: jax.Array, product: Product, shape: Shape) -> jax.Array:
    from .gpu.calls import CALLS  # loads Pallas

    return CALLS[gives](left, right, product, shape)


WAYS: Mapping[tuple[str, str], Callable[..., jax.Array]] = {
    (blocks.NATIVE, FORWARD): native.forward,
    (blocks.NATIVE, INPUT_GRADIENT): native.input_gradient,
    (blocks.NATIVE, WEIGHT_GRADIENT): native.weight_gradient,
    **{(tiles.PALLAS, gives): partial(_gathered, gives) for gives in GIVES},
    (tiling.PACKED, FORWARD): packed.forward,
    (tiling.TURNED, FORWARD): partial(packed.forward, turned=True),
    (tiling.PACKED, INPUT_GRADIENT): packed.input_gradient,
    (tiling.PACKED, WEIGHT_GRADIENT): packed.weight_gradient,
    (CONVOLUTION.form, FORWARD): convolution.forward,
    (CONVOLUTION.form, INPUT_GRADIENT): convolution.input_gradient,
    (CONVOLUTION.form, WEIGHT_GRADIENT): convolution.weight_gradient,
}
"""The function for each form of each product: `(left, right, product, shape of the choice)`."""


def multiplied(left: jax.Array, right: jax.Array, product: Product) -> jax.Array:
    """Return a product of two operands; their batch replaces that of `product`.

    Values are `[rows, columns, maps, batch]`, weights `[kr, kc, field rows, field columns, maps in of a group, maps]`.
    """
    batch = left.shape[-1]
    if not isinstance(batch, int):  # of an exported program, for batches of any size
        product = replace(product, batch=ANY_BATCH)
        with portable():
            return _multiply(left, right, product=product, choice=choose(product), mesh=None)
    mesh = spread()
    product = replace(product, batch=batch if mesh is None else batch // mesh.size)
    # The kernel is chosen here, where `made` and `portable` hold: a program is lowered later.
    return _multiply(left, right, product=product, choice=choose(product), mesh=mesh)


def _computed(
    left: jax.Array, right: jax.Array, *, product: Product, choice: Choice, mesh: Mesh | None
) -> jax.Array:
    """Each device of a mesh computes its part of the images, and all add up a gradient of weights."""
    one = partial(WAYS[choice.form, product.gives], product=product, shape=choice.shape)
    if mesh is None:
        return one(left, right)
    images, of_weights = along_images(3), product.gives == WEIGHT_GRADIENT
    given, made = ((images, images), EVERYWHERE) if of_weights else ((images, EVERYWHERE), images)

    def own(left: jax.Array, right: jax.Array) -> jax.Array:
        part = one(left, right)
        return lax.psum(part, IMAGES) if of_weights else part  # type: ignore[no-untyped-call]

    divided = jax.shard_map(own, mesh=mesh, in_specs=given, out_specs=made, check_vma=False)
    found: jax.Array = divided(left, right)
    return found


def _shape(left: Shape, right: Shape, *, product: Product, choice: Choice, mesh: Mesh | None) -> Shape:
    window = product.window
    if product.gives == FORWARD:
        return window.outputs.rows, window.outputs.columns, product.maps, left[-1]
    if product.gives == INPUT_GRADIENT:
        return window.inputs.rows, window.inputs.columns, product.maps_in, left[-1]
    return product.weight_shape


def _of_left(
    gradient: jax.Array,
    left: object,
    right: jax.Array,
    *,
    product: Product,
    choice: Choice,
    mesh: Mesh | None,
) -> jax.Array:
    if product.gives == WEIGHT_GRADIENT:
        return multiplied(right, gradient, replace(product, gives=INPUT_GRADIENT))
    other = INPUT_GRADIENT if product.gives == FORWARD else FORWARD
    return multiplied(gradient, right, replace(product, gives=other))


def _of_right(
    gradient: jax.Array,
    left: jax.Array,
    right: object,
    *,
    product: Product,
    choice: Choice,
    mesh: Mesh | None,
) -> jax.Array:
    if product.gives == WEIGHT_GRADIENT:
        return multiplied(left, gradient, replace(product, gives=FORWARD))
    read, made = (left, gradient) if product.gives == FORWARD else (gradient, left)
    return multiplied(read, made, replace(product, gives=WEIGHT_GRADIENT))


def _mapped(
    operands: tuple[jax.Array, jax.Array],
    axes: tuple[int | None, int | None],
    *,
    product: Product,
    choice: Choice,
    mesh: Mesh | None,
) -> tuple[jax.Array, int]:
    """Values are mapped over as one batch where weights are not; weights, one after the other."""
    (left, right), (first, second) = operands, axes
    if first is not None and second is None and product.gives != WEIGHT_GRADIENT:
        values = jnp.moveaxis(left, first, -2)
        found = multiplied(values.reshape(*values.shape[:3], -1), right, product)
        return found.reshape(*found.shape[:3], *values.shape[3:]), 3

    def one(mapped: tuple[jax.Array | None, jax.Array | None]) -> jax.Array:
        a, b = (whole if part is None else part for whole, part in zip(operands, mapped, strict=True))
        return multiplied(a, b, product)

    mapped = [
        None if axis is None else jnp.moveaxis(o, axis, 0) for o, axis in zip(operands, axes, strict=True)
    ]
    return lax.map(one, tuple(mapped)), 0


_multiply = linear("local_product", _computed, _shape, (_of_left, _of_right), _mapped)
