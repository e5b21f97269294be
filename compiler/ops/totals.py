"""What tiles compute in the place of a normalisation over a whole sheet (compiler/cut/deal.py); no file names these.

    x ──> y sums ──> y centred ──> y squares ──> y
    └──────────────────┘ └─────────────────────────┘

A tile sums over its own values; tiles send each other these totals, and each adds up all, in the order of the tiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.shapes import Interval, Region, Sheet, Size, line, whole

from .norm import Affine, BatchNorm

ALONE = whole(Size(1, 1))
"""The position of a total."""


@dataclass(frozen=True, slots=True)
class Grouped(Op):
    """A function of values and of the totals of their groups of maps; `of_line`: of a vector whose maps are in a line."""

    whole: Sheet
    of_line: bool
    within: Region  # of the sheet, or of the line
    groups: int
    batch: BatchNorm | None  # over all images of a batch, as it says, or of each image alone

    @property
    def sheet(self) -> Sheet:
        return line(self.within.rows.length) if self.of_line else Sheet.over(self.within, self.whole.maps)

    @property
    def maps(self) -> Interval:
        """The maps of its values."""
        return self.within.rows if self.of_line else Interval(0, self.whole.maps)

    def needs_of(self, operand: int, region: Region) -> Region:
        return region if operand == 0 or not region.area else ALONE

    def part(self, region: Region) -> Grouped:
        return replace(self, within=region)


@dataclass(frozen=True, slots=True)
class Totals(Grouped):
    """The sum of each group, or of its squares; over a batch, the mean of all images' sums."""

    kind: ClassVar[str] = "totals"
    scatters: ClassVar[bool] = True
    reduces: ClassVar[bool] = True
    squares: bool

    @property
    def sheet(self) -> Sheet:
        return Sheet(1, 1, self.groups)

    def batch_rows(self, batch: int) -> int:
        return 1 if self.batch else batch

    def needs(self, region: Region) -> Region:
        return self.within if region.area else region

    def writes(self, units: Region) -> Region:
        return ALONE if units.area else whole(Size(0, 0))

    def of_units(self, units: Region) -> Totals:
        return replace(self, within=units)

    def multiply_adds(self) -> int:
        return self.within.area * self.maps.length


@dataclass(frozen=True, slots=True)
class Centred(Grouped):
    """Values without the mean of their group; its operands are values and sums."""

    kind: ClassVar[str] = "centred"
    has_mode: ClassVar[bool] = True

    def weights(self) -> dict[str, Weights]:
        return self.batch.running("mean") if self.batch else {}


@dataclass(frozen=True, slots=True)
class Normalised(Grouped):
    """Centred values over the deviation of their group, then scale and shift; its operands are they and sums of squares."""

    kind: ClassVar[str] = "normalised"
    has_mode: ClassVar[bool] = True
    eps: float
    affine: Affine

    def weights(self) -> dict[str, Weights]:
        variance = self.batch.running("variance") if self.batch else {}
        return {**self.affine.weights(self.whole), **variance}

    @property
    def position_roles(self) -> frozenset[str]:
        return frozenset() if self.of_line else self.affine.position_roles
