"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.arguments import Fraction, Reads, since
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet, line, whole


@dataclass(frozen=True, slots=True)
class Dropout(Op):
    """In a training step zero for some units of each sample, by lot; the others are scaled so that the mean stays."""

    kind: ClassVar[str] = "dropout"
    keeps_patch: ClassVar[bool] = True
    has_mode: ClassVar[bool] = True
    reads_sheet: Sheet  # the whole sheet
    within: Region  # the positions with values
    rate: float

    @property
    def sheet(self) -> Sheet:
        return Sheet.over(self.within, self.reads_sheet.maps)

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def part(self, region: Region) -> Dropout:
        return replace(self, within=region)

    def in_line(self) -> Dropout:
        sheet = line(self.reads_sheet.values)
        return replace(self, reads_sheet=sheet, within=whole(sheet.size))


@since(2)
def dropout(rate: Fraction, *, of: Reads) -> Dropout:
    """In training losses 0 with probability `rate`, else `x / (1 - rate)`, by seed, path, sample and unit; elsewhere `x`

    Example: dropout(0.5)
    """
    return Dropout(of.sheet, whole(of.sheet.size), rate)


KINDS = {"dropout": dropout}
OPS = (Dropout,)
