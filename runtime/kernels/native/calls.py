"""Calls on JAX arrays of the code generated for a layer: its three products (products.py), and its units' neighbours."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate
from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.core.shapes import Size, Slide, Window
from lnet.runtime.kernels.products import BITS, Product

from . import products
from .blocks import processor
from .llvm_ir import Function
from .neighbours import Units, likeness
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


def cosines(
    arrays: Sequence[jax.Array], patch: Size | None, neighbours: int, joined: tuple[bool, bool]
) -> tuple[jax.Array, list[jax.Array]]:
    """Sum the cosines of each unit with its neighbours, so of each pair twice; and half the gradient of that sum.

    Units' vectors are a layer's weights and biases, `[row, column, ..., map]`; along axes that are `joined`, the last is a
    neighbour of the first.
    """
    (down, right), maps = arrays[0].shape[:2], arrays[0].shape[-1]
    weights, *biases = (array.reshape(down, right, -1, maps) for array in arrays)
    squares = sum(jnp.sum(jnp.square(array), axis=2, keepdims=True) for array in (weights, *biases))
    side = jnp.concatenate([lax.rsqrt(squares + 1e-8), *biases], axis=2)
    for axis, wraps in enumerate(joined):
        around = [(1, 1) if axis == other else (0, 0) for other in range(side.ndim)]
        side = jnp.pad(side, around, mode="wrap" if wraps else "constant")
    rows, columns = (patch.rows, patch.columns) if patch else (1, 1)
    values, count = weights.shape[2], side.shape[2] - 1
    units = Units(down, right, values, count, (rows, columns), maps // (rows * columns), neighbours)
    lanes = _lanes(processor().lanes, weights.dtype)
    found = _kernel((down, right, values + count + 1, maps), weights.dtype, likeness, units, lanes)(
        weights, side
    )
    bounds = [0, *accumulate(array.shape[2] for array in (weights, *biases))]
    gradients = [
        found[:, :, start:stop].reshape(array.shape)
        for array, start, stop in zip(arrays, bounds, bounds[1:], strict=False)
    ]
    return jnp.sum(found[:, :, -1]), gradients


def _call(
    writer: Writer, product: Product, shape: Shape, operands: tuple[jax.Array, jax.Array], result: Shape
) -> jax.Array:
    dtype = jnp.result_type(*operands)
    rows, vectors, lanes = shape
    block = Block(rows, vectors, _lanes(lanes, dtype))
    given = [operand.astype(dtype) for operand in operands]
    if product.precision in BITS:
        exponent, mantissa = BITS[product.precision]
        given = [lax.reduce_precision(array, exponent, mantissa) for array in given]
    kernel = _kernel(result, dtype, writer, _geometry(product), block)
    return kernel(*given)


def _lanes(of_float32: int, dtype: jnp.dtype) -> int:
    """Return how many values of a type are as wide as so many of float32."""
    return max(1, 4 * of_float32 // dtype.itemsize)


def _kernel(
    shape: Shape, dtype: jnp.dtype, writer: Callable[..., tuple[Function, int]], *facts: Hashable
) -> Callable[..., jax.Array]:
    from .build import target  # loads LLVM

    name = target(writer, *facts, str(dtype), size=prod(shape) * dtype.itemsize)
    result = jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]
    call: Callable[..., jax.Array] = jax.ffi.ffi_call(name, result, vmap_method="sequential")
    return call


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
