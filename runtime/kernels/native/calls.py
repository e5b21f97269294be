"""The three products of a local layer on JAX arrays, as calls of the code generated for it (products.py)."""

from __future__ import annotations

from math import prod

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.core.shapes import Size, Slide, Window

from . import products
from .build import Writer, target
from .products import Block, Geometry

Shape = tuple[int, ...]


def forward(x: jax.Array, weight: jax.Array, window: Window, shape: Shape, precision: str) -> jax.Array:
    """`[rows, columns, maps in, batch]` to `[output rows, output columns, maps, batch]`."""
    padded = _pad(x, window)
    maps = weight.shape[-1]
    geometry = _geometry(window, Size(*weight.shape[:2]), x.shape[2], maps, x.shape[3])
    result = (window.outputs.rows, window.outputs.columns, maps, x.shape[3])
    return _call(products.forward, geometry, shape, (padded, weight), result, precision)


def input_gradient(
    h: jax.Array, weight: jax.Array, window: Window, shape: Shape, precision: str
) -> jax.Array:
    """`[output rows, output columns, maps, batch]` to `[rows, columns, maps in, batch]`."""
    maps_in, maps = weight.shape[-2:]
    geometry = _geometry(window, Size(*weight.shape[:2]), maps_in, maps, h.shape[3])
    result = (geometry.rows, geometry.columns, maps_in, h.shape[3])
    return _crop(_call(products.input_gradient, geometry, shape, (h, weight), result, precision), window)


def weight_gradient(
    x: jax.Array, h: jax.Array, window: Window, sets: Size, shape: Shape, precision: str
) -> jax.Array:
    """Inputs and the gradients of outputs to the gradient of `[kr, kc, field rows, field columns, maps in, maps]`."""
    geometry = _geometry(window, sets, x.shape[2], h.shape[2], x.shape[3])
    result = (sets.rows, sets.columns, window.field.rows, window.field.columns, x.shape[2], h.shape[2])
    operands = (_pad(x, window), jnp.swapaxes(h, 2, 3))
    return _call(products.weight_gradient, geometry, shape, operands, result, precision)


def _call(
    writer: Writer,
    geometry: Geometry,
    shape: Shape,
    operands: tuple[jax.Array, jax.Array],
    result: Shape,
    precision: str,
) -> jax.Array:
    dtype = jnp.result_type(*operands)
    rows, vectors, lanes = shape
    block = Block(rows, vectors, max(1, 4 * lanes // dtype.itemsize))
    given = [operand.astype(dtype) for operand in operands]
    if precision == "bfloat16":
        given = [lax.reduce_precision(array, exponent_bits=8, mantissa_bits=7) for array in given]
    name = target(writer, geometry, block, str(dtype), prod(result) * dtype.itemsize)
    call = jax.ffi.ffi_call(name, jax.ShapeDtypeStruct(result, dtype))  # type: ignore[no-untyped-call]
    found: jax.Array = call(*given)
    return found


def _geometry(window: Window, sets: Size, maps_in: int, maps: int, batch: int) -> Geometry:
    rows, columns = window.rows, window.columns
    return Geometry(
        _reach(rows), _reach(columns), maps_in, batch, rows.field, columns.field, maps,
        rows.stride, columns.stride, rows.outputs, columns.outputs, (sets.rows, sets.columns),
    )  # fmt: skip


def _reach(slide: Slide) -> int:
    """Inputs that the outputs read, zeros around the sheet included."""
    return (slide.outputs - 1) * slide.stride + slide.field


def _padding(slide: Slide) -> tuple[int, int]:
    """Zeros before and after; negative where no output reads the last inputs."""
    return slide.before, _reach(slide) - slide.before - slide.extent


def _pad(x: jax.Array, window: Window) -> jax.Array:
    around = [(*_padding(window.rows), 0), (*_padding(window.columns), 0), (0, 0, 0), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), around)


def _crop(x: jax.Array, window: Window) -> jax.Array:
    """The transpose of `_pad`."""
    around = [(-before, -after, 0) for before, after in map(_padding, (window.rows, window.columns))]
    return lax.pad(x, jnp.zeros((), x.dtype), [*around, (0, 0, 0), (0, 0, 0)])
