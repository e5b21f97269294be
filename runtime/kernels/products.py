"""The products of a local layer, and the kernels for each.

    forward             the layer's value                          decode: the gradient of what it reads
    input gradient      the gradient of what it reads              decode: its value
    weight gradient     the gradient of its weights                the same

There are four kinds of kernel: machine code generated for this processor and layer (native/), tiles of positions packed
into wide products for XLA (packed/), or gathered by programs of a GPU (gpu/), and for shared weights a convolution
(convolution.py). choose.py chooses.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.core.shapes import Size, Window
from lnet.compiler.ops.filters import PLAIN, Layout

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = GIVES = ("forward", "input gradient", "weight gradient")
ROUNDED = {"bfloat16": jnp.bfloat16, "float16": jnp.float16}
"""The types that a precision rounds the operands of products to; sums are those of the parameters' type."""
BITS = {"bfloat16": (8, 7), "float16": (5, 10), "tf32": (8, 10)}
"""Bits of exponent and mantissa of what a precision rounds operands to; tf32 is stored as float32."""
ANY_BATCH = 100
"""The batch size assumed in programs for batches of any size."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product of a layer; `layout` says which of the `sets` of weights a position uses."""

    gives: str
    window: Window
    sets: Size
    maps_in: int
    maps: int
    batch: int
    precision: str = "float32"
    layout: Layout = PLAIN

    @property
    def untied(self) -> bool:
        return self.sets == self.window.outputs and self.layout.block == Size(1, 1)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        field, of_group = self.window.field, self.maps_in // self.layout.groups
        return (self.sets.rows, self.sets.columns, field.rows, field.columns, of_group, self.maps)

    @property
    def of_group(self) -> tuple[int, int]:
        """Maps that a group reads, and maps that it makes."""
        return self.maps_in // self.layout.groups, self.maps // self.layout.groups


@dataclass(frozen=True, slots=True)
class Choice:
    """A kernel for a product, its block shape, and its time: predicted, or measured on this machine."""

    form: str
    shape: tuple[int, ...]
    milliseconds: float
    measured: bool = False


def rounded(precision: str, *operands: jax.Array) -> tuple[jax.Array, ...]:
    """Return the operands of a product as a precision rounds them, if it does."""
    if precision == "tf32":
        return tuple(lax.reduce_precision(each, *BITS[precision]) for each in operands)
    return tuple(each.astype(ROUNDED.get(precision, each.dtype)) for each in operands)


EXACT = lax.Precision.HIGHEST
"""How JAX is to multiply operands as they are: GPUs would round float32 to tf32 on the way into a product."""


def exactness(precision: str) -> lax.Precision:
    """Return how JAX is to multiply operands that a precision has rounded, or has not."""
    return lax.Precision.DEFAULT if precision in BITS else EXACT
