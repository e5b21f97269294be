"""The three products of a local layer on JAX arrays, as calls of the code generated for it (products.py)."""

from __future__ import annotations

from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.core.shapes import Size, Slide, Window
from lnet.runtime.kernels.products import Product

from . import products
from .products import Block, Geometry, Writer

Shape = tuple[int, ...]


def forward(x: jax.Array, weight: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """`[rows, columns, maps in, batch]` to `[output rows, output columns, maps, batch]`."""
    outputs = product.window.outputs
    result = (outputs.rows, outputs.columns, product.maps, x.shape[3])
    operands = (_pad(x, product.window), weight)
    return _call(products.forward, product, shape, operands, result)


def input_gradient(h: jax.Array, weight: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """`[output rows, output columns, maps, batch]` to `[rows, columns, maps in, batch]`."""
    window = product.window
    result = (window.rows.reach, window.columns.reach, product.maps_in, h.shape[3])
    return _crop(_call(products.input_gradient, product, shape, (h, weight), result), window)


def weight_gradient(x: jax.Array, h: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """Inputs and the gradients of outputs to the gradient of `[kr, kc, field rows, field columns, maps in, maps]`."""
    operands = (_pad(x, product.window), jnp.swapaxes(h, 2, 3))
    return _call(products.weight_gradient, product, shape, operands, product.weight_shape)


def _call(
    writer: Writer, product: Product, shape: Shape, operands: tuple[jax.Array, jax.Array], result: Shape
) -> jax.Array:
    from .build import target  # loads LLVM

    dtype = jnp.result_type(*operands)
    rows, vectors, lanes = shape
    block = Block(rows, vectors, max(1, 4 * lanes // dtype.itemsize))
    given = [operand.astype(dtype) for operand in operands]
    if product.precision == "bfloat16":
        given = [lax.reduce_precision(array, exponent_bits=8, mantissa_bits=7) for array in given]
    name = target(writer, _geometry(product), block, str(dtype), prod(result) * dtype.itemsize)
    call = jax.ffi.ffi_call(name, jax.ShapeDtypeStruct(result, dtype))  # type: ignore[no-untyped-call]
    found: jax.Array = call(*given)
    return found


def _geometry(product: Product) -> Geometry:
    rows, columns, layout = product.window.rows, product.window.columns, product.layout
    return Geometry(
        rows.reach, columns.reach, product.maps_in, product.batch, rows.field, columns.field, product.maps,
        rows.stride, columns.stride, rows.outputs, columns.outputs, _pair(product.sets),
        rows.dilation, columns.dilation, layout.groups, _pair(layout.block), _pair(layout.lead),
    )  # fmt: skip


def _pair(size: Size) -> tuple[int, int]:
    return size.rows, size.columns


def _padding(slide: Slide) -> tuple[int, int]:
    """Zeros before and after; negative where no output reads the last inputs."""
    return slide.before, slide.reach - slide.before - slide.extent


def _pad(x: jax.Array, window: Window) -> jax.Array:
    around = [(*_padding(window.rows), 0), (*_padding(window.columns), 0), (0, 0, 0), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), around)


def _crop(x: jax.Array, window: Window) -> jax.Array:
    """The transpose of `_pad`."""
    around = [(-before, -after, 0) for before, after in map(_padding, (window.rows, window.columns))]
    return lax.pad(x, jnp.zeros((), x.dtype), [*around, (0, 0, 0), (0, 0, 0)])
