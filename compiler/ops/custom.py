"""Layers that a plug-in writes as a function of arrays: what the function sees is said here, and cut into tiles.

    PerPosition      value(x)            every position alone:            [row, column, map, image], same rows and columns
    Neighbourhood    value(x, inside)    `reach` positions around each:   `reach` rows and columns more on every side

The fields of a class that derives from one of them are the arguments of its kind, and its docstring is their reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet, Size, whole

from .position import AtPosition


@dataclass(frozen=True)
class PerPosition(AtPosition):
    """A function of the maps at each position alone: `mish`, a gain for each map, a softmax over groups of maps."""

    @property
    def maps(self) -> int:
        """How many maps the value has; as many as it reads unless a plug-in says otherwise."""
        return self.reads_sheet.maps

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.reads_sheet.height, self.reads_sheet.width, self.maps)

    def laid_out(self, operands: Sequence[Size | None]) -> Size | None:
        return operands[0] if self.maps == self.reads_sheet.maps else None

    def value(self, x: Any, **weights: Any) -> Any:
        """Return the value of `x`, both `[row, column, map, image]`, of any number of rows, columns and images.

        `weights` are the trained parameters by role, if `weights()` names some: the same at every position.
        """
        raise AssertionError(f"{type(self).__name__} has no 'value'")


@dataclass(frozen=True)
class Neighbourhood(Op):
    """A function of a neighbourhood: the value at a position depends on `reach` rows and columns around it."""

    keeps_patch: ClassVar[bool] = True
    reads_sheet: Sheet
    within: Region  # the positions of what it reads that it has values at

    @classmethod
    def over(cls, reads: Sheet, **arguments: Any) -> Neighbourhood:
        """Return the op over a whole sheet."""
        return cls(reads, whole(reads.size), **arguments)

    @property
    def reach(self) -> Size:
        """Rows and columns that a value depends on, on each side."""
        raise AssertionError(f"{type(self).__name__} has no 'reach'")

    @property
    def sheet(self) -> Sheet:
        return Sheet.over(self.within, self.reads_sheet.maps)

    def needs(self, region: Region) -> Region:
        shifted = region.shift(self.within.rows.start, self.within.columns.start)
        return shifted.grow(self.reach.rows, self.reach.columns).clip(self.reads_sheet.size)

    def part(self, region: Region) -> Neighbourhood:
        seen = self.needs(region)
        here = region.shift(self.within.rows.start, self.within.columns.start)
        return replace(self, reads_sheet=Sheet.over(seen, self.reads_sheet.maps), within=here.within(seen))

    def multiply_adds(self) -> int:
        return self.sheet.values * (2 * self.reach.rows + 1) * (2 * self.reach.columns + 1)

    def value(self, x: Any, inside: Any, **weights: Any) -> Any:
        """Return `[row, column, map, image]` of `x`, which has `reach` rows and columns more on every side.

        Beyond the border of the sheet `x` is 0, and so is `inside`, `[row, column, 1, 1]`, which is 1 elsewhere.
        `weights` are the trained parameters by role, if `weights()` names some: the same at every position.
        """
        raise AssertionError(f"{type(self).__name__} has no 'value'")
