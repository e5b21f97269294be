"""Layers that a plug-in writes as a function of arrays: what the function sees is said here, and cut into tiles.

    PerPosition        value(x)            every position alone: `[row, column, map, image]`, with the same rows and columns
    ReceptiveField     value(x, inside)    fields that slide over `x`: `[row, column, map, image]` of their positions
    ProjectiveField    value(x)            a field of each position: `[row, column, field row, field column, map, image]`;
                                           what they write to one place is added up

The fields of a class that derives from one of them are the arguments of its kind, and its docstring is their reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Self, TypeVar

from lnet.compiler.core.arguments import ONE, UNPADDED, Padding, Refused
from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.shapes import Region, Sheet, Size, Slide, Window
from lnet.compiler.core.sliding import slide_out, slide_over

from .filters import Projection
from .position import AtPosition

T = TypeVar("T")
OF_POSITIONS = ("row", "column")
"""The first axes of weights of which every position has its own."""


@dataclass(frozen=True)
class Custom(Op):
    """What all layers of plug-ins have in common.

    `maps`, a field or a property of a class: how many maps the value has; as many as it reads unless stated.
    """

    reads_sheet: Sheet

    @classmethod
    def over(cls, reads: Sheet, **arguments: Any) -> Self:
        """Return the op over a whole sheet; raises `Refused` for weights that do not fit it."""
        op = cls(reads, **arguments)
        for role, weights in op.weights().items():
            _check(op, role, weights)
        return op

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.positions.rows, self.positions.columns, self._maps)

    @property
    def positions(self) -> Size:
        """How many rows and columns of positions have weights of their own: the whole layer's, or a tile's."""
        return self.reads_sheet.size

    @property
    def position_roles(self) -> frozenset[str]:
        return frozenset(role for role, w in self.weights().items() if w.axes[:2] == OF_POSITIONS)

    def laid_out(self, operands: Sequence[Size | None]) -> Size | None:
        return operands[0] if self._maps == self.reads_sheet.maps else None

    def multiply_adds(self) -> int:
        """One for each value of each field, or as many as the weights ask for."""
        size, positions, alone = self.field_size or ONE, self.positions, self.position_roles
        area = positions.rows * positions.columns
        uses = (prod(w.shape) * (1 if role in alone else area) for role, w in self.weights().items())
        return max(sum(uses), area * self._maps * size.rows * size.columns)

    @property
    def _maps(self) -> int:
        return self._stated("maps", self.reads_sheet.maps)

    def _stated(self, name: str, usual: T) -> T:
        """Return what a class has under a name, as a field or as a property; what is usual if it has nothing."""
        found: T = getattr(self, name, usual)
        return found


def _check(op: Custom, role: str, weights: Weights) -> None:
    axes, shape, fault = weights.axes, weights.shape, ""
    if not len(shape) == len(axes) == len(set(axes)):
        fault = "each extent needs an axis with a name of its own"
    elif axes[:2] == OF_POSITIONS and shape[:2] != (op.positions.rows, op.positions.columns):
        fault = f"the layer has {op.positions} positions"
    elif axes[:2] != OF_POSITIONS and not set(axes).isdisjoint(OF_POSITIONS):
        fault = "those of positions begin with 'row' and 'column', and no others have these axes"
    if fault:
        raise Refused(
            "E610",
            f"the weights '{role}' of the plug-in '{op.kind}' do not fit: {fault}",
            notes=(f"found the extents {'x'.join(map(str, shape))}, and the axes {', '.join(axes)}",),
        )


@dataclass(frozen=True)
class PerPosition(Custom, AtPosition):
    """A function of the maps at each position alone: `mish`, a gain for each map, a softmax over groups of maps."""

    def value(self, x: Any, **weights: Any) -> Any:
        """Return the value of `x`, both `[row, column, map, image]`, of any number of rows, columns and images.

        `weights` are the trained parameters by role, if `weights()` names some: of positions, those of these positions.
        """
        raise AssertionError(f"{type(self).__name__} has no 'value'")


@dataclass(frozen=True)
class _Sliding(Custom):
    """A field that slides; in a tile `within` are its positions, and `reads_sheet` is still all that there is.

    `field`, `stride`, `pad` and `dilation` are fields or properties of a class: as those of a `local` layer; without them a
    stride and a dilation of 1, and no padding.
    """

    within: Region | None = field(default=None, kw_only=True)

    @property
    def window(self) -> Window:
        """The field as it slides: over all, or over a tile's part."""
        size, pad = self._stated("field", ONE), self._stated("pad", UNPADDED)
        window = self._over_all(size, self._stated("stride", ONE), pad, self._stated("dilation", ONE))
        return window.part(self.within) if self.within else window

    def _over_all(self, size: Size, stride: Size, pad: Padding, dilation: Size) -> Window:
        raise AssertionError(f"{type(self).__name__} has no window")

    @property
    def positions(self) -> Size:
        return self.window.outputs

    @property
    def field_size(self) -> Size:
        return self.window.span


@dataclass(frozen=True)
class ReceptiveField(_Sliding):
    """A function of a receptive field that slides over a sheet: a median pool, a normalisation, a local layer with gates."""

    def _over_all(self, size: Size, stride: Size, pad: Padding, dilation: Size) -> Window:
        return slide_over(self.reads_sheet.size, size, stride, pad, dilation)

    @property
    def strided(self) -> bool:
        return (self.window.rows.stride, self.window.columns.stride) != (1, 1)

    def needs(self, region: Region) -> Region:
        return self.window.reads(region)

    def part(self, region: Region) -> Self:
        return replace(self, within=region)

    def fields(self, x: Any) -> Any:
        """Return `x` or `inside` of `value` in fields: `[row, column, field row, field column, map, image]`."""
        for axis, slide in enumerate((self.window.rows, self.window.columns)):
            values = [x[(slice(None),) * axis + (_seen(slide, number),)] for number in range(slide.field)]
            x = x.__array_namespace__().stack(values, axis=axis + 2)
        return x

    def value(self, x: Any, inside: Any, **weights: Any) -> Any:
        """Return `[row, column, map, image]` of `x`, over which the field slides from one end to the other.

        Of padding `x` is 0, and so is `inside`, `[row, column, 1, 1]`, which is 1 elsewhere. `weights` as in `PerPosition`.
        """
        raise AssertionError(f"{type(self).__name__} has no 'value'")


def _seen(slide: Slide, number: int) -> slice:
    """Return the inputs that are one of the field's, one for each position."""
    start = number * slide.dilation
    return slice(start, start + (slide.outputs - 1) * slide.stride + 1, slide.stride)


@dataclass(frozen=True)
class ProjectiveField(_Sliding, Projection):
    """A field that each position writes into a sheet of its own extents: an upsampling, a decoder with gates."""

    def _over_all(self, size: Size, stride: Size, pad: Padding, dilation: Size) -> Window:
        return slide_out(self.reads_sheet.size, size, stride, pad, dilation)

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.window.inputs.rows, self.window.inputs.columns, self._maps)

    def of_units(self, units: Region) -> Self:
        return replace(self, within=units)

    def value(self, x: Any, **weights: Any) -> Any:
        """Return `[row, column, field row, field column, map, image]`: what each position of `x` adds to its field.

        `weights` as in `PerPosition`.
        """
        raise AssertionError(f"{type(self).__name__} has no 'value'")
