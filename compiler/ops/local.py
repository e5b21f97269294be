"""A local layer: receptive fields with weights of their own at every position, or shared as a file says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.arguments import (
    ONE,
    UNPADDED,
    Count,
    Extent,
    Flag,
    MapCount,
    NonNegative,
    OptionalNonNegative,
    Pad,
    Reads,
    Share,
    Sharing,
)
from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.learned import NORMAL
from lnet.compiler.core.shapes import Region, Sheet, Size
from lnet.compiler.core.sliding import slide_over

from .filters import Filters, check_groups, shared
from .learning import Constrain, Initial, learned
from .position import Activation, AtPosition, over


@dataclass(frozen=True, slots=True)
class Local(Filters):
    """`h[i,j,m] = b + sum_uvc W[i,j,u,v,c,m] x[i*s+u*d-p, j*s+v*d-p, c]`, then `act`."""

    kind: ClassVar[str] = "local"
    has_filters: ClassVar[bool] = True
    bias: bool
    act: AtPosition | None
    patch: Size | None = None
    patch_in: Size | None = None  # of the sheet that the window slides over

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.window.outputs.rows, self.window.outputs.columns, self.maps)

    def weights(self) -> dict[str, Weights]:
        weights = Filters.weights(self)
        if self.bias:
            shape = (self.sets.rows, self.sets.columns, self.maps)
            axes = ("row", "column", "map")
            weights["bias"] = Weights(shape, axes, None, speed=self.learned.bias_speed)
        return weights

    def laid_out(self, operands: Sequence[Size | None]) -> Size | None:
        return self.patch

    def needs(self, region: Region) -> Region:
        return self.window.reads(region)

    def part(self, region: Region) -> Local:
        return replace(self.at(region), act=self.act and self.act.part(region))

    @property
    def applies(self) -> tuple[Op, ...]:
        return () if self.act is None else (self.act,)

    @property
    def linear(self) -> Local:
        return replace(self, bias=False, act=None)


def local(
    field: Extent,
    maps: MapCount,
    stride: Extent = ONE,
    pad: Pad = UNPADDED,
    bias: Flag = False,
    act: Activation = None,
    share: Share = Sharing(),  # noqa: B008 (frozen)
    dilation: Extent = ONE,
    groups: Count = 1,
    *,
    init: Initial = NORMAL,
    speed: NonNegative = 1.0,
    bias_speed: OptionalNonNegative = None,
    constrain: Constrain = None,
    of: Reads,
) -> Local:
    """`h[i,j,m] = b + sum_uvc W[i,j,u,v,c,m] x[i*s+u*d-p, j*s+v*d-p, c]`, then `act`; with
    `maps = 8x8` the maps lie in a patch at each position

    Example: local(5x3, 8, stride = 2, pad = 1, act = relu)
    """
    check_groups(groups, of.sheet.maps, maps.count)
    window = slide_over(of.sheet.size, field, stride, pad, dilation)
    sets, layout = shared(share, window.outputs, groups)
    sheet = Sheet(window.outputs.rows, window.outputs.columns, maps.count)
    how = learned(init, speed, bias, bias_speed, constrain)
    return Local(
        window,
        of.sheet.maps,
        maps.count,
        sets,
        bias,
        over(act, sheet),
        maps.patch,
        of.patch,
        learned=how,
        layout=layout,
    )


KINDS = {"local": local}
OPS = (Local,)
