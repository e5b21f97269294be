"""Pools: a window over each map alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.arguments import ONE, UNPADDED, Extent, Pad, Positive, Reads, Refused
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet, Size, Window
from lnet.compiler.core.sliding import slide_over


@dataclass(frozen=True, slots=True)
class Pool(Op):
    """The base of all pools: a window over each map alone."""

    keeps_patch: ClassVar[bool] = True
    window: Window
    maps: int

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.window.outputs.rows, self.window.outputs.columns, self.maps)

    @property
    def field_size(self) -> Size:
        return self.window.field

    @property
    def strided(self) -> bool:
        return (self.window.rows.stride, self.window.columns.stride) != (1, 1)

    def needs(self, region: Region) -> Region:
        return self.window.reads(region)

    def part(self, region: Region) -> Pool:
        return replace(self, window=self.window.part(region))

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def multiply_adds(self) -> int:
        return self.sheet.values * (self.window.field.rows + self.window.field.columns)


@dataclass(frozen=True, slots=True)
class L2Pool(Pool):
    """`sqrt(eps + sum of squares over the field)`."""

    kind: ClassVar[str] = "l2pool"
    eps: float

    def nonnegative(self, operands: bool) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class MaxPool(Pool):
    """The largest value of the field; padding does not count, unless `zeros` says so.

    It counted in plans of version 0.1, which keep their pooling.
    """

    kind: ClassVar[str] = "maxpool"
    zeros: bool = False


@dataclass(frozen=True, slots=True)
class AvgPool(Pool):
    """The mean of the field."""

    kind: ClassVar[str] = "avgpool"


def l2pool(
    field: Extent,
    stride: Extent = ONE,
    pad: Pad = UNPADDED,
    eps: Positive = 1e-3,
    *,
    of: Reads,
) -> L2Pool:
    """`sqrt(eps + sum of squares over the field)`, each map alone

    Example: l2pool(3, stride = 2)
    """
    return L2Pool(slide_over(of.sheet.size, field, stride, pad), of.sheet.maps, eps)


def maxpool(field: Extent, stride: Extent = ONE, pad: Pad = UNPADDED, *, of: Reads) -> MaxPool:
    """The largest value of the field, each map alone; padding is ignored

    Example: maxpool(2, stride = 2, pad = 1)
    """
    window = slide_over(of.sheet.size, field, stride, pad)
    before, size = Size(window.rows.before, window.columns.before), window.field
    if before.rows >= size.rows or before.columns >= size.columns:
        raise Refused(
            "E515",
            f"a window would hold padding alone, which 'maxpool' ignores: its field is {size}, its padding {before}",
            argument="pad",
            hints=("take a padding below the field, in rows and in columns",),
        )
    return MaxPool(window, of.sheet.maps)


def avgpool(field: Extent, stride: Extent = ONE, pad: Pad = UNPADDED, *, of: Reads) -> AvgPool:
    """The mean of the field, each map alone

    Example: avgpool(2x4)
    """
    return AvgPool(slide_over(of.sheet.size, field, stride, pad), of.sheet.maps)


KINDS = {"l2pool": l2pool, "maxpool": maxpool, "avgpool": avgpool}
OPS = (L2Pool, MaxPool, AvgPool)
