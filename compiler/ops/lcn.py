"""Local contrast normalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import Extent, OptionalPositive, Positive, Reads, Refused, none_or, one_of
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet, Size, whole


@dataclass(frozen=True, slots=True)
class LCN(Op):
    """Local contrast normalisation: `g = h - sum(G * h)`; `y = g / sqrt(max(floor^2, sum(G * g^2)))`."""

    kind: ClassVar[str] = "lcn"
    keeps_patch: ClassVar[bool] = True
    reads_sheet: Sheet
    field: Size
    sigma: tuple[float, float]
    across: bool  # over all maps, or over each map alone
    floor: float
    within: Region  # the positions of the operand with values: all, or those whose window lies inside

    @property
    def sheet(self) -> Sheet:
        return Sheet.over(self.within, self.reads_sheet.maps)

    @property
    def field_size(self) -> Size:
        return self.field

    def needs(self, region: Region) -> Region:
        """One value sees `2 * field - 1` inputs across: the window of the variance, each seeing its mean's."""
        shifted = region.shift(self.within.rows.start, self.within.columns.start)
        return shifted.grow(self.field.rows - 1, self.field.columns - 1).clip(self.reads_sheet.size)

    def part(self, region: Region) -> LCN:
        seen = self.needs(region)
        here = region.shift(self.within.rows.start, self.within.columns.start)
        return replace(self, reads_sheet=Sheet.over(seen, self.reads_sheet.maps), within=here.within(seen))

    def multiply_adds(self) -> int:
        return 2 * self.reads_sheet.values * (self.field.rows + self.field.columns)


Across = Annotated[str | None, none_or(one_of("all"))]
Edge = Annotated[str, one_of("same", "valid")]


def lcn(
    field: Extent,
    sigma: OptionalPositive = None,
    across: Across = "all",
    floor: Positive = 0.01,
    edge: Edge = "same",
    *,
    of: Reads,
) -> LCN:
    """Local contrast normalisation: below. `sigma` is `field / 4` unless given

    Example: lcn(5, across = none, edge = valid)
    """
    if field.rows % 2 == 0 or field.columns % 2 == 0:
        raise Refused(
            "E404",
            f"the field of 'lcn' must be odd, found {field}",
            argument="field",
            hints=("an odd field has a position in its middle: take one more or one less",),
        )
    if edge == "valid" and (field.rows > of.sheet.height or field.columns > of.sheet.width):
        raise Refused(
            "E401",
            f"with 'edge = valid' a field of {field} does not fit into the {of.sheet.size} that it reads",
            argument="field",
            hints=("make the field smaller, or take 'edge = same'",),
        )
    widths = (sigma or field.rows / 4, sigma or field.columns / 4)
    margin = Size(field.rows // 2, field.columns // 2) if edge == "valid" else Size(0, 0)
    within = whole(of.sheet.size).grow(-margin.rows, -margin.columns)
    return LCN(of.sheet, field, widths, across == "all", floor, within)


KINDS = {"lcn": lcn}
OPS = (LCN,)
