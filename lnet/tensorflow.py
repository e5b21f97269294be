"""The untied layer alone, for TensorFlow programs: XLA's kernels, as part of a TensorFlow graph.

JAX exports the products of a layer for batches of any size, and the graph holds the text. So it is compiled and saved with
the rest, and runs where JAX is not installed. XLA in TensorFlow cannot call the kernels generated for this processor.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import tensorflow as tf
from jax.experimental import jax2tf

from lnet.dsl.diagnostics import refused
from lnet.runtime.kernels.products import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Product

from .untied import Extent, Pad, Sliding, check_values, derivatives, product_of

__all__ = ["local"]


@tf.autograph.experimental.do_not_convert
def local(
    x: tf.Tensor,
    weight: tf.Tensor,
    *,
    stride: Extent = 1,
    pad: Pad = 0,
    dilation: Extent = 1,
    groups: int = 1,
    block: Extent = 1,
) -> tf.Tensor:
    """Return `lnet.jax.local` of tensors: `[batch, row, column, map]` to the same. Raises `DataError` if they do not fit."""
    check_values(x.shape)
    product = Sliding(stride, pad, dilation, groups, block).forward(tuple(x.shape[1:]), tuple(weight.shape))
    return _multiplied(x, weight, product)


@tf.autograph.experimental.do_not_convert
def _multiplied(left: tf.Tensor, right: tf.Tensor, product: Product) -> tf.Tensor:
    """Return a product; what differentiates it is another, to any order."""

    @tf.custom_gradient
    def multiplied(left: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def gradients(gradient: tf.Tensor) -> tuple[tf.Tensor, ...]:
            products = derivatives(product.gives, left, right, gradient)
            return tuple(_multiplied(*of, replace(product, gives=gives)) for gives, *of in products)

        program = _program(product, left.dtype.name)
        return program(tf.stop_gradient(left), tf.stop_gradient(right)), gradients

    return multiplied(left, right)


@cache
def _program(product: Product, dtype: str) -> Any:
    """Return the function of a product of tensors of a type, with values `[batch, row, column, map]`."""

    def compute(left: jax.Array, right: jax.Array) -> jax.Array:
        left, right = (jnp.moveaxis(of, 0, -1) if of.ndim == 4 else of for of in (left, right))
        made = product_of(left, right, product)
        return made if product.gives == WEIGHT_GRADIENT else jnp.moveaxis(made, -1, 0)

    _check_versions()
    window = product.window
    read = (None, window.inputs.rows, window.inputs.columns, product.maps_in)
    made = (None, window.outputs.rows, window.outputs.columns, product.maps)
    shapes = {
        FORWARD: (read, product.weight_shape),
        INPUT_GRADIENT: (made, product.weight_shape),
        WEIGHT_GRADIENT: (read, made),
    }[product.gives]
    converted = jax2tf.convert(
        compute,
        polymorphic_shapes=["batch, ..." if shape[0] is None else None for shape in shapes],
        with_gradient=False,
        native_serialization_platforms=("cpu", "cuda"),
    )
    signature = [tf.TensorSpec(shape, dtype) for shape in shapes]
    with tf.init_scope(), jax.enable_x64(dtype == "float64"):
        return tf.function(converted, input_signature=signature, autograph=False).get_concrete_function()


@cache
def _check_versions() -> None:
    """Refuse a JAX whose programs this TensorFlow cannot read: each reads those of its time, and somewhat newer ones."""
    negative = jax2tf.convert(jnp.negative, polymorphic_shapes=["batch"], with_gradient=False)
    with tf.init_scope():
        try:
            tf.function(negative, autograph=False)(tf.ones(1))
        except tf.errors.InvalidArgumentError as error:
            versions = f"TensorFlow {tf.__version__} cannot read programs of JAX {jax.__version__}"
            hint = ("pip install 'lnetc[tensorflow]', with an older JAX", "or install a newer TensorFlow")
            raise refused("E787", versions, hint=hint) from error
