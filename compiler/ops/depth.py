"""Maps laid out as positions, and positions as maps: the sheet of the units of patches, and its inverse.

block 2x2    1 position, maps 0 to 3      2x2 positions, 1 map

             [0 1 2 3]              <->     0 1
                                            2 3
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.arguments import Extent, Reads, Refused, since
from lnet.compiler.core.layer import Layer, Op
from lnet.compiler.core.shapes import Interval, Region, Sheet, Size, whole


@dataclass(frozen=True, slots=True)
class DepthToSpace(Op):
    """Blocks of maps as positions; `within`: those that it has values at, of all that the maps it reads make."""

    kind: ClassVar[str] = "depth_to_space"
    reads_sheet: Sheet
    block: Size
    within: Region

    @property
    def sheet(self) -> Sheet:
        return Sheet.over(self.within, self.reads_sheet.maps // (self.block.rows * self.block.columns))

    @property
    def period(self) -> Size:
        return self.block

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def needs(self, region: Region) -> Region:
        if not region.area:
            return region
        here = region.shift(self.within.rows.start, self.within.columns.start)
        return Region(_blocks(here.rows, self.block.rows), _blocks(here.columns, self.block.columns))

    def part(self, region: Region) -> DepthToSpace:
        seen = self.needs(region)
        here = region.shift(self.within.rows.start, self.within.columns.start)
        within = here.shift(-seen.start.rows * self.block.rows, -seen.start.columns * self.block.columns)
        return replace(self, reads_sheet=Sheet.over(seen, self.reads_sheet.maps), within=within)


@dataclass(frozen=True, slots=True)
class SpaceToDepth(Op):
    """Blocks of positions as maps."""

    kind: ClassVar[str] = "space_to_depth"
    reads_sheet: Sheet
    block: Size

    @property
    def sheet(self) -> Sheet:
        read, block = self.reads_sheet, self.block
        maps = read.maps * block.rows * block.columns
        return Sheet(read.height // block.rows, read.width // block.columns, maps)

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def needs(self, region: Region) -> Region:
        return Region(
            _positions(region.rows, self.block.rows), _positions(region.columns, self.block.columns)
        )

    def part(self, region: Region) -> SpaceToDepth:
        return replace(self, reads_sheet=Sheet.over(self.needs(region), self.reads_sheet.maps))


def _blocks(positions: Interval, extent: int) -> Interval:
    """Return the blocks that hold some of an axis' positions."""
    return Interval(positions.start // extent, -(-positions.stop // extent))


def _positions(blocks: Interval, extent: int) -> Interval:
    """Return the positions in some of an axis' blocks."""
    return Interval(blocks.start * extent, blocks.stop * extent)


@since(2)
def depth_to_space(block: Extent, *, of: Reads) -> DepthToSpace:
    """`[h, w, r*c*k]` to `[h*r, w*c, k]` for a block of `r x c`: map `(u*c + v)*k + m` of position `i, j` goes to row
    `i*r + u`, column `j*c + v`, map `m`; with the layer's patch as the block it is the unit sheet

    Example: depth_to_space(1x2)
    """
    values = block.rows * block.columns
    if of.sheet.maps % values:
        raise _undivided(of, block, f"'{of.path}' has {of.sheet.maps} maps, and a block has {values}")
    rows, columns = of.sheet.height * block.rows, of.sheet.width * block.columns
    return DepthToSpace(of.sheet, block, whole(Size(rows, columns)))


@since(2)
def space_to_depth(block: Extent, *, of: Reads) -> SpaceToDepth:
    """The inverse of `depth_to_space`: `[h*r, w*c, k]` to `[h, w, r*c*k]`

    Example: space_to_depth(1x2)
    """
    if of.sheet.height % block.rows or of.sheet.width % block.columns:
        raise _undivided(of, block, f"'{of.path}' has {of.sheet.size} positions")
    return SpaceToDepth(of.sheet, block)


def _undivided(of: Layer, block: Size, note: str) -> Refused:
    patch = (f"its patch is {of.patch}: '{of.path}.patch'",) if of.patch else ()
    return Refused(
        "E408",
        f"the block {block} does not divide the layer that it reads, '{of.path}'",
        argument="block",
        notes=(note,),
        hints=patch,
    )


KINDS = {"depth_to_space": depth_to_space, "space_to_depth": space_to_depth}
OPS = (DepthToSpace, SpaceToDepth)
