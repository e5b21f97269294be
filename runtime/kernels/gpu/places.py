"""Where the values of a product lie in memory, and which of its positions and inputs are neighbours.

Along an axis, positions that are `layers` apart read every `dilation`-th input, so they are a layer without dilation on
these inputs (packed/plain.py has a picture). Here nothing is moved for it: place `q` of layer `l` is position
`l + layers * q`, and its tap `u` reads place `z = stride * q + u` of the layer's inputs; `Axis.input` says which input of
the sheet that is. Places beyond the sheet have no value.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import jax.numpy as jnp
from jax import lax

from lnet.runtime.kernels.packed import plain
from lnet.runtime.kernels.products import Product

Index = Any
"""An integer of a kernel, or an array of them."""


@dataclass(frozen=True, slots=True)
class Axis(plain.Axis):
    """One axis of a layer, by places."""

    @property
    def stride(self) -> int:
        """Places of inputs from one place of a layer to the next."""
        return self.plain.stride

    def read_by(self, positions: int) -> int:
        """Return the inputs that so many neighbouring positions read."""
        return (positions - 1) * self.stride + self.slide.field

    def readers(self, inputs: int) -> int:
        """Return the positions, at most, that read some of so many neighbouring inputs."""
        return (inputs + self.slide.field - 2) // self.stride + 1

    def first_reader(self, place: Index) -> Index:
        """Return the first place of a position that reads an input at or behind `place`; negative ones do not exist."""
        ahead = self.slide.field  # keeps the dividend positive
        return lax.div(place + (ahead + 1) * self.stride - self.slide.field, self.stride) - ahead

    def position(self, layer: Index, place: Index) -> Index:
        return layer + self.layers * place

    def input(self, layer: Index, place: Index) -> Index:
        return layer * self.slide.stride - self.slide.before + self.slide.dilation * place


@dataclass(frozen=True, slots=True)
class Places:
    """The arrays of a product as one row of numbers each: where a value is, and whether there is one."""

    product: Product
    batch: int

    @property
    def rows(self) -> Axis:
        return Axis(self.product.window.rows)

    @property
    def columns(self) -> Axis:
        return Axis(self.product.window.columns)

    def x(self, row: Index, column: Index, group: Index, channel: Index) -> tuple[Index, Index]:
        """Return the place of the first image's value, and whether it is on the sheet."""
        size, (reads, _) = self.product.window.inputs, self.product.of_group
        there = _below(row, size.rows) & _below(column, size.columns)
        return (
            (row * size.columns + column) * self.product.maps_in + group * reads + channel
        ) * self.batch, there

    def h(self, row: Index, column: Index, group: Index, channel: Index) -> tuple[Index, Index]:
        """Return the place of the first image's value, and whether it is on the sheet."""
        size, (_, makes) = self.product.window.outputs, self.product.of_group
        there = _below(row, size.rows) & _below(column, size.columns)
        return (
            (row * size.columns + column) * self.product.maps + group * makes + channel
        ) * self.batch, there

    def weight(
        self, row: Index, column: Index, u: Index, v: Index, c: Index, group: Index, m: Index
    ) -> tuple[Index, Index]:
        """Return the place of a position's weight at row `u` and column `v` of its field, and whether it has one."""
        size, field, (reads, makes) = self.product.sets, self.product.window.field, self.product.of_group
        there = (
            _below(row, size.rows)
            & _below(column, size.columns)
            & _below(u, field.rows)
            & _below(v, field.columns)
        )
        taps = ((row * size.columns + column) * field.rows + u) * field.columns + v
        return (taps * reads + c) * self.product.maps + group * makes + m, there


def _below(index: Index, extent: int) -> Index:
    return (index >= 0) & (index < extent)


def unravelled(number: Index, *extents: int) -> list[Index]:
    """Return the indices of a number in an array of these extents; the first one exceeds its extent if the number does."""
    indices = []
    for extent in reversed(extents[1:]):
        indices.append(lax.rem(number, jnp.int32(extent)))
        number = lax.div(number, jnp.int32(extent))
    return [number, *reversed(indices)]


def blocks(extent: int, block: int) -> int:
    """Return how many blocks cover an extent."""
    return -(-extent // block)


def size(*extents: int) -> int:
    """Return the width of a block of a product that holds so many: a power of two, at least 16."""
    return max(16, 1 << (prod(extents) - 1).bit_length())
