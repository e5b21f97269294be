"""What tiles compute in the place of a dense layer, on a transposed one's sums, and what they tell (compiler/cut/deal.py).

No file names these ops, and no plan holds them.

A *line* is a vector of N values as a sheet of N x 1 x 1: tile `t` of T owns the positions N t / T to N (t + 1) / T.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.shapes import Interval, Region, Sheet, Size, line, part, whole

from .position import AtPosition

BEST = 5
"""The highest scores of each tile that tiles tell each other."""


def part_of_line(start: int, stop: int) -> Region:
    """Return positions of a line."""
    return Region(Interval(start, stop), Interval(0, 1))


@dataclass(frozen=True, slots=True)
class Added(Op):
    """The value of an op that scatters, as one that scatters again reads it: of what a tile owns, all that was written."""

    kind: ClassVar[str] = "added"
    reads_sheet: Sheet

    @property
    def sheet(self) -> Sheet:
        return self.reads_sheet

    def part(self, region: Region) -> Added:
        return Added(Sheet.over(region, self.reads_sheet.maps))


@dataclass(frozen=True, slots=True)
class Flat(Op):
    """The values of a sheet in a line: every position writes its maps to their places."""

    kind: ClassVar[str] = "flat"
    scatters: ClassVar[bool] = True
    reduces: ClassVar[bool] = True
    reads_sheet: Sheet
    units: Region

    @property
    def sheet(self) -> Sheet:
        return line(self.reads_sheet.values)

    def needs(self, region: Region) -> Region:
        width, maps = self.reads_sheet.width, self.reads_sheet.maps
        if not region.area:
            return Region(Interval(0, 0), Interval(0, 0))
        first, last = region.rows.start // maps, (region.rows.stop - 1) // maps
        rows = Interval(first // width, last // width + 1)
        columns = Interval(first % width, last % width + 1) if rows.length == 1 else Interval(0, width)
        return Region(rows, columns)

    def writes(self, units: Region) -> Region:
        if not units.area:
            return part_of_line(0, 0)
        width, maps = self.reads_sheet.width, self.reads_sheet.maps
        first = units.rows.start * width + units.columns.start
        last = (units.rows.stop - 1) * width + units.columns.stop
        return part_of_line(first * maps, last * maps)

    def of_units(self, units: Region) -> Flat:
        return replace(self, units=units)


@dataclass(frozen=True, slots=True)
class Sums(Op):
    """The products of a dense layer: every position adds its own to all sums."""

    kind: ClassVar[str] = "sums"
    scatters: ClassVar[bool] = True
    reduces: ClassVar[bool] = True
    value_weights: ClassVar[bool] = True
    reads_sheet: Sheet
    units: int

    @property
    def sheet(self) -> Sheet:
        return line(self.units)

    def weights(self) -> dict[str, Weights]:
        inputs = self.reads_sheet.values
        return {"weight": Weights((inputs, self.units), ("input", "unit"), inputs)}

    def needs(self, region: Region) -> Region:
        return whole(self.reads_sheet.size) if region.area else region

    def writes(self, units: Region) -> Region:
        return part_of_line(0, self.units if units.area else 0)

    def of_units(self, units: Region) -> Sums:
        return replace(self, reads_sheet=Sheet.over(units, self.reads_sheet.maps))


@dataclass(frozen=True, slots=True)
class Units(Op):
    """The units of a dense layer, from their sums."""

    kind: ClassVar[str] = "units"
    value_weights: ClassVar[bool] = True
    units: int
    bias: bool
    act: AtPosition | None

    @property
    def sheet(self) -> Sheet:
        return line(self.units)

    @property
    def exchanged(self) -> bool:
        return True

    def weights(self) -> dict[str, Weights]:
        return {"bias": Weights((self.units,), ("unit",), None)} if self.bias else {}

    def part(self, region: Region) -> Units:
        act = self.act and self.act.part(region)
        return replace(self, units=region.rows.length, act=act)

    @property
    def applies(self) -> tuple[Op, ...]:
        return () if self.act is None else (self.act,)


@dataclass(frozen=True, slots=True)
class Finished(Op):
    """The sums that tiles have added up, with bias, `[rows, columns, maps]` or `[1, 1, maps]`, and activation."""

    kind: ClassVar[str] = "finished"
    values: Sheet
    biases: Size | None
    act: AtPosition | None
    bias_speed: float = 1.0

    @property
    def sheet(self) -> Sheet:
        return self.values

    @property
    def position_roles(self) -> frozenset[str]:
        return frozenset({"bias"} if self.biases == self.values.size else ())

    def weights(self) -> dict[str, Weights]:
        if self.biases is None:
            return {}
        shape = (self.biases.rows, self.biases.columns, self.values.maps)
        return {"bias": Weights(shape, ("row", "column", "map"), None, speed=self.bias_speed)}

    def part(self, region: Region) -> Finished:
        biases = region.size if self.position_roles else self.biases
        act = self.act and self.act.part(region)
        return replace(self, values=Sheet.over(region, self.values.maps), biases=biases, act=act)

    @property
    def applies(self) -> tuple[Op, ...]:
        return () if self.act is None else (self.act,)


@dataclass(frozen=True, slots=True)
class Vector(Op):
    """A line as a sheet of 1 x 1 x N."""

    kind: ClassVar[str] = "vector"
    units: int

    @property
    def sheet(self) -> Sheet:
        return Sheet(1, 1, self.units)

    def needs(self, region: Region) -> Region:
        return part_of_line(0, self.units if region.area else 0)

    def part(self, region: Region) -> Vector:
        return self


@dataclass(frozen=True, slots=True)
class Peaks(Op):
    """What tiles must know of each other's scores: the highest of each, and the sum of exponentials above the first.

    One position for each tile that has scores; its maps are the sum, then the scores, highest first.
    """

    kind: ClassVar[str] = "peaks"
    differentiable: ClassVar[bool] = False
    units: int
    tiles: int

    @property
    def sheet(self) -> Sheet:
        return Sheet(min(self.units, self.tiles), 1, 1 + BEST)

    @property
    def exchanged(self) -> bool:
        return True

    def needs(self, region: Region) -> Region:
        positions = self.sheet.height
        return part_of_line(
            self.units * region.rows.start // positions, self.units * region.rows.stop // positions
        )

    def part(self, region: Region) -> Peaks:
        return self


@dataclass(frozen=True, slots=True)
class Dots(Op):
    """What tiles must know of each other's part of two values `x` and `t`: the sums `x.t`, `x.x` and `t.t` over it.

    One position for each tile; both values are cut as `grid` says. Float32 sums, added up in the order of the tiles.
    """

    kind: ClassVar[str] = "dots"
    differentiable: ClassVar[bool] = False
    SUMS: ClassVar[int] = 3
    reads_sheet: Sheet
    grid: Size

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.grid.rows * self.grid.columns, 1, self.SUMS)

    @property
    def exchanged(self) -> bool:
        return True

    def needs(self, region: Region) -> Region:
        needed, size, grid = part_of_line(0, 0), self.reads_sheet.size, self.grid
        for tile in range(region.rows.start, region.rows.stop):
            row, column = divmod(tile, grid.columns)
            own = Region(part(size.rows, row, grid.rows), part(size.columns, column, grid.columns))
            needed = needed.hull(own)
        return needed

    def part(self, region: Region) -> Dots:
        return self


@dataclass(frozen=True, slots=True)
class Standings(Op):
    """What all tiles say of themselves, a position of so many maps each, at every one of them."""

    kind: ClassVar[str] = "standings"
    differentiable: ClassVar[bool] = False
    positions: int
    maps: int

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.positions, 1, self.positions * self.maps)

    def needs(self, region: Region) -> Region:
        return part_of_line(0, self.positions if region.area else 0)

    def part(self, region: Region) -> Standings:
        return self
