"""A local layer: receptive fields with weights of their own at every position, or shared as a file says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.arguments import (
    ONE,
    UNPADDED,
    Activation,
    Count,
    Extent,
    Flag,
    Pad,
    Reads,
    Share,
    Sharing,
    slide_over,
)
from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.shapes import Region, Sheet, Size, Window


@dataclass(frozen=True, slots=True)
class Local(Op):
    """`h[i,j,m] = b + sum_uvc W[i,j,u,v,c,m] x[i*s+u-p, j*s+v-p, c]`, then `act`.

    Position `i,j` uses the weights of set `i mod sets.rows, j mod sets.columns`.
    """

    kind: ClassVar[str] = "local"
    window: Window
    maps_in: int
    maps: int
    sets: Size
    bias: bool
    act: str | None

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.window.outputs.rows, self.window.outputs.columns, self.maps)

    @property
    def shared(self) -> bool:
        """Whether two positions use one set of weights."""
        outputs = self.window.outputs
        return self.sets.rows < outputs.rows or self.sets.columns < outputs.columns

    @property
    def fan_in(self) -> int:
        return self.window.field.rows * self.window.field.columns * self.maps_in

    @property
    def weight_shape(self) -> tuple[int, ...]:
        field = self.window.field
        return (self.sets.rows, self.sets.columns, field.rows, field.columns, self.maps_in, self.maps)

    def weights(self) -> dict[str, Weights]:
        weights = {"weight": Weights(self.weight_shape, self.fan_in)}
        if self.bias:
            weights["bias"] = Weights((self.sets.rows, self.sets.columns, self.maps), None)
        return weights

    def needs(self, region: Region) -> Region:
        return self.window.reads(region)

    def part(self, region: Region) -> Local:
        sets = region.size if self.sets == self.window.outputs else self.sets
        return replace(self, window=self.window.part(region), sets=sets)

    def multiply_adds(self) -> int:
        return self.sheet.values * self.fan_in


def local(
    field: Extent,
    maps: Count,
    stride: Extent = ONE,
    pad: Pad = UNPADDED,
    bias: Flag = False,
    act: Activation = None,
    share: Share = Sharing(),  # noqa: B008 (frozen)
    *,
    of: Reads,
) -> Local:
    """`h[i,j,m] = b + sum_uvc W[i,j,u,v,c,m] x[i*s+u-p, j*s+v-p, c]`, then `act`

    Example: local(5x3, 8, stride = 2, pad = 1, act = relu)
    """
    window = slide_over(of.sheet.size, field, stride, pad)
    return Local(window, of.sheet.maps, maps, share.sets(window.outputs), bias, act)


KINDS = {"local": local}
OPS = (Local,)
