"""The central rows and columns of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Extent, Reads, Refused
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet, Size


@dataclass(frozen=True, slots=True)
class Crop(Op):
    """The central rows and columns; of an odd remainder the smaller half is cut off before."""

    kind: ClassVar[str] = "crop"
    keeps_patch: ClassVar[bool] = True
    reads_sheet: Sheet
    size: Size

    @property
    def start(self) -> Size:
        sheet = self.reads_sheet
        return Size((sheet.height - self.size.rows) // 2, (sheet.width - self.size.columns) // 2)

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.size.rows, self.size.columns, self.reads_sheet.maps)

    def needs(self, region: Region) -> Region:
        return region.shift(self.start.rows, self.start.columns)

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def part(self, region: Region) -> Crop:
        return Crop(Sheet.over(region, self.reads_sheet.maps), region.size)


def crop(size: Extent, *, of: Reads) -> Crop:
    """The central rows and columns; if an odd number is cut off, the smaller half is before them

    Example: crop(9x7)
    """
    if size.rows > of.sheet.height or size.columns > of.sheet.width:
        raise Refused(
            "E401", f"{size} cannot be cut out of '{of.path}', which is {of.sheet.size}", argument="size"
        )
    return Crop(of.sheet, size)


KINDS = {"crop": crop}
OPS = (Crop,)
