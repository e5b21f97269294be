"""The untied layer alone, whichever library's arrays it computes (jax.py, torch.py, keras.py): shapes, checks, products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import jax
import jax.numpy as jnp

from lnet.compiler.core.arguments import ONE, Padding, Refused, Sharing
from lnet.compiler.core.shapes import Size, Window
from lnet.compiler.core.sliding import slide_out, slide_over
from lnet.compiler.ops.filters import Layout, check_groups, shared
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.kernels.multiply import multiplied
from lnet.runtime.kernels.products import (
    ANY_BATCH,
    BITS,
    FORWARD,
    INPUT_GRADIENT,
    ROUNDED,
    WEIGHT_GRADIENT,
    Product,
)

Extent = int | tuple[int, int]
Pad = Extent | str
Shape = tuple[int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sliding:
    """How a layer's fields slide, and which positions share weights. All methods raise `DataError` for what does not fit.

    Weights are `[output row, output column, field row, field column, map of a group, output map]`.
    """

    stride: Extent = 1
    pad: Pad = 0
    dilation: Extent = 1
    groups: int = 1
    block: Extent = 1
    extra: Extent = 0

    def forward(self, read: Shape, weight: Shape) -> Product:
        """Return the product of `read`, `(rows, columns, maps)`, and weights."""
        _check_weight(weight)
        window = self._over(read, weight[2:4], weight[5])
        if weight[4] * self.groups != read[2]:
            raise _misfit(weight, f"{self.groups} x {weight[4]} maps, and the input has {read[2]}")
        return self._product(FORWARD, window, weight, window.outputs)

    def transpose(self, read: Shape, weight: Shape) -> Product:
        """Return the product that makes what `forward` reads of `(rows, columns, maps)`, which it makes, and weights."""
        _check_weight(weight)
        positions = Size(*read[:2])
        with _refusing():
            check_groups(_positive("groups", self.groups), weight[4] * self.groups, weight[5])
            window = slide_out(positions, *self._sliding(weight[2:4]), _size("extra", self.extra, 0))
        if weight[5] != read[2]:
            raise _misfit(weight, f"{weight[5]} output maps, and the input has {read[2]}")
        return self._product(INPUT_GRADIENT, window, weight, positions)

    def weights(self, read: Shape, field: Extent, maps: int) -> tuple[int, int, int, int, int, int]:
        """Return the shape of the weights with which `forward` reads `(rows, columns, maps)`, a set for each block."""
        size = _size("field", field)
        window = self._over(read, (size.rows, size.columns), maps)
        sets = self._shared(window.outputs)[0]
        return sets.rows, sets.columns, size.rows, size.columns, read[2] // self.groups, maps

    def transposed_weights(
        self, read: Shape, field: Extent, maps: int
    ) -> tuple[int, int, int, int, int, int]:
        """Return the shape of the weights with which `transpose` makes so many maps of `(rows, columns, maps)`."""
        size, sets = _size("field", field), self._shared(Size(*read[:2]))[0]
        with _refusing():
            check_groups(_positive("groups", self.groups), maps, read[2])
        return sets.rows, sets.columns, size.rows, size.columns, maps // self.groups, read[2]

    def _over(self, read: Shape, field: Shape, maps: int) -> Window:
        with _refusing():
            check_groups(_positive("groups", self.groups), read[2], maps)
            return slide_over(Size(*read[:2]), *self._sliding(field))

    def _sliding(self, field: Shape) -> tuple[Size, Size, Padding, Size]:
        stride, dilation = _size("stride", self.stride), _size("dilation", self.dilation)
        return Size(*field), stride, _padding(self.pad), dilation

    def _shared(self, positions: Size) -> tuple[Size, Layout]:
        block = _size("block", self.block)
        return shared(Sharing(block=None if block == ONE else block), positions, self.groups)

    def _product(self, gives: str, window: Window, weight: Shape, positions: Size) -> Product:
        sets, (most, layout) = Size(*weight[:2]), self._shared(positions)
        if layout.block != ONE and sets != most:
            raise refused("E716", f"'weight' has {sets} sets of weights for {most} blocks of positions")
        if sets.rows > most.rows or sets.columns > most.columns:
            raise refused("E716", f"'weight' has {sets} sets of weights for {positions} positions")
        return Product(gives, window, sets, weight[4] * self.groups, weight[5], ANY_BATCH, layout=layout)


def product_of(left: jax.Array, right: jax.Array, product: Product, precision: str = "float32") -> jax.Array:
    """Return a product, in the arrays' type; arrays in half precision are multiplied so, and summed in float32."""
    if precision != "float32" and precision not in BITS:
        found = f"expected 'float32' or one of {', '.join(BITS)} as 'precision', found '{precision}'"
        raise refused("E716", found)
    dtype = jnp.result_type(left, right)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise refused("E716", f"expected arrays of floating-point numbers, found {dtype}")
    if dtype.name in ROUNDED:
        left, right, precision = left.astype(jnp.float32), right.astype(jnp.float32), dtype.name
    return multiplied(left, right, replace(product, precision=precision)).astype(dtype)


def derivatives(gives: str, left: T, right: T, gradient: T) -> tuple[tuple[str, T, T], tuple[str, T, T]]:
    """Return the products, each with its operands, that are the gradients of a product's operands."""
    if gives == FORWARD:
        return (INPUT_GRADIENT, gradient, right), (WEIGHT_GRADIENT, left, gradient)
    if gives == INPUT_GRADIENT:
        return (FORWARD, gradient, right), (WEIGHT_GRADIENT, gradient, left)
    return (INPUT_GRADIENT, right, gradient), (FORWARD, left, gradient)


def check_values(shape: Shape) -> None:
    if len(shape) != 4:
        raise refused("E716", f"expected values with 4 axes, found {list(shape)}")


def _check_weight(shape: Shape) -> None:
    if len(shape) != 6:
        axes = "[output row, output column, field row, field column, map, output map]"
        raise refused("E716", f"expected 'weight' as {axes}, found {list(shape)}")


@contextmanager
def _refusing() -> Iterator[None]:
    """Raise what the compiler refuses as an error of arrays."""
    try:
        yield
    except Refused as error:
        raise refused("E716", error.message, *error.notes) from error


def _misfit(weight: Shape, what: str) -> LnetError:
    return refused("E716", f"'weight' {list(weight)} is for {what}")


def _size(name: str, extent: Extent, least: int = 1) -> Size:
    size = Size(extent, extent) if isinstance(extent, int) else Size(*extent)
    for value in (size.rows, size.columns):
        _positive(name, value, least)
    return size


def _positive(name: str, value: int, least: int = 1) -> int:
    if value < least:
        raise refused("E716", f"expected {least} or more as '{name}', found {value}")
    return value


def _padding(pad: Pad) -> Padding:
    if not isinstance(pad, str):
        return Padding(zeros=_size("pad", pad, 0))
    if pad not in ("valid", "same"):
        raise refused("E716", f"expected zeros on each side, 'valid' or 'same' as 'pad', found '{pad}'")
    return Padding(pad)
