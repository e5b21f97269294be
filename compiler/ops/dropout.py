"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.arguments import Fraction, since
from lnet.compiler.core.kinds import kind_of
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet, line, whole


@since(2)
@dataclass(frozen=True, slots=True)
class Dropout(Op):
    """In training losses, 0 with probability `rate`, otherwise `x / (1 - rate)`, drawn by seed, path, sample and unit;
    elsewhere `x`

    Example: dropout(0.5)
    """

    kind: ClassVar[str] = "dropout"
    keeps_patch: ClassVar[bool] = True
    has_mode: ClassVar[bool] = True
    reads_sheet: Sheet  # the whole sheet
    within: Region  # the positions with values
    rate: Fraction

    @classmethod
    def over(cls, reads: Sheet, rate: float) -> Dropout:
        """Return the op over a whole sheet."""
        return cls(reads, whole(reads.size), rate)

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


OPS = (Dropout,)
KINDS = {op.kind: kind_of(op) for op in OPS}
