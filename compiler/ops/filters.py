"""The base of local layers and their transposes: a window, and the filters that slide with it.

Which set of weights position `i` of an axis uses, of 5 positions (`Layout`):

    share        none           tile(2)        blocks(2)      blocks(2), a tile's positions 1 to 4
    set          0 1 2 3 4      0 1 0 1 0      0 0 1 1 2      0 1 1 2      lead 1
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import gcd
from typing import ClassVar, Self

from lnet.compiler.core.arguments import NO_ZEROS, ONE, Refused, Sharing
from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.learned import USUAL, Learned
from lnet.compiler.core.shapes import Region, Sheet, Size, Window


@dataclass(frozen=True, slots=True)
class Layout:
    """Which weights a position and a map use: set `(i + lead) // block mod sets`, the maps in so many groups.

    `lead`: the positions of the first block that lie before a tile's first one.
    """

    groups: int = 1
    block: Size = ONE
    lead: Size = NO_ZEROS

    def sets_used(self, positions: Size, sets: Size) -> tuple[list[int], list[int]]:
        """Return the row and the column of the sets that the rows and columns of positions use."""
        block, lead = self.block, self.lead
        return (
            [(i + lead.rows) // block.rows % sets.rows for i in range(positions.rows)],
            [(j + lead.columns) // block.columns % sets.columns for j in range(positions.columns)],
        )

    def part(self, start: Size) -> Layout:
        """Return the layout of the positions from `start` on."""
        block = self.block
        return replace(self, lead=Size(start.rows % block.rows, start.columns % block.columns))


PLAIN = Layout()
_ROLES = frozenset(("weight", "bias"))


def shared(share: Sharing, positions: Size, groups: int) -> tuple[Size, Layout]:
    """Return the sets of weights that `share` means at so many positions, and which position uses which."""
    if share.block is None:
        return share.tile or positions, Layout(groups)
    block = Size(min(share.block.rows, positions.rows), min(share.block.columns, positions.columns))
    sets = Size(-(-positions.rows // block.rows), -(-positions.columns // block.columns))
    return sets, Layout(groups, block)


def check_groups(groups: int, maps_in: int, maps: int) -> None:
    """Raise `Refused` where maps cannot be divided into so many groups."""
    for count, what in ((maps_in, "maps of the layer that it reads"), (maps, "maps")):
        if count % groups:
            raise Refused(
                "E405",
                f"{count} {what} cannot be divided into {groups} groups",
                argument="groups",
                notes=(
                    f"it reads {maps_in} maps and makes {maps}: both are divided equally among the groups",
                ),
                hints=(f"the most groups that both can be divided into are {gcd(maps_in, maps)}",),
            )


@dataclass(frozen=True, slots=True)
class Filters(Op):
    """A filter for each map and set of weights, which slides over the sheet with the window."""

    window: Window
    maps_in: int  # of the sheet that the window slides over
    maps: int  # of the sheet of the window's positions
    sets: Size
    learned: Learned = field(default=USUAL, kw_only=True)
    layout: Layout = field(default=PLAIN, kw_only=True)

    @property
    def field_size(self) -> Size:
        return self.window.span

    @property
    def fan_in(self) -> int:
        return self.taps

    @property
    def taps(self) -> int:
        """Weights of a filter."""
        return self.window.field.rows * self.window.field.columns * (self.maps_in // self.layout.groups)

    @property
    def fan_out(self) -> int:
        return self.window.field.rows * self.window.field.columns * self.maps

    @property
    def position_roles(self) -> frozenset[str]:
        return _ROLES if self.position_weights else frozenset()

    @property
    def position_weights(self) -> bool:
        """Whether every position has a set of its own."""
        return self.sets == self.window.outputs and self.layout.block == ONE

    @property
    def shared_block(self) -> Size:
        return self.layout.block

    def sets_used(self) -> tuple[list[int], list[int]]:
        return self.layout.sets_used(self.window.outputs, self.sets)

    def weights(self) -> dict[str, Weights]:
        sets, field = self.sets, self.window.field
        reads = self.maps_in // self.layout.groups
        shape = (sets.rows, sets.columns, field.rows, field.columns, reads, self.maps)
        axes = ("row", "column", "field row", "field column", "input map", "map")
        how = self.learned
        return {"weight": Weights(shape, axes, self.fan_in, self.fan_out, how.init, how.speed, how.unit)}

    def first_set(self, region: Region) -> Size:
        if self.position_weights:
            return Size(0, 0)
        block, sets, start = self.layout.block, self.sets, region.start
        return Size(start.rows // block.rows % sets.rows, start.columns // block.columns % sets.columns)

    def at(self, positions: Region) -> Self:
        """Return the op of some of the window's positions."""
        sets = positions.size if self.position_weights else self.sets
        return replace(
            self, window=self.window.part(positions), sets=sets, layout=self.layout.part(positions.start)
        )

    def multiply_adds(self) -> int:
        outputs = self.window.outputs
        return outputs.rows * outputs.columns * self.maps * self.taps


class Projection(Op):
    """An op of which each position that it reads writes a field of the sheet that it makes."""

    __slots__ = ()
    scatters: ClassVar[bool] = True

    @property
    def window(self) -> Window:
        raise AssertionError(f"{type(self).__name__} has no window")

    @property
    def period(self) -> Size:
        return Size(self.window.rows.stride, self.window.columns.stride)

    def needs(self, region: Region) -> Region:
        return self.window.readers(region)

    def writes(self, units: Region) -> Region:
        return self.window.reads(units)


@dataclass(frozen=True, slots=True)
class Transpose(Filters, Projection):
    """The transpose of a local layer: of the window's positions, each with the maps that the local layer makes."""

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.window.inputs.rows, self.window.inputs.columns, self.maps_in)

    def of_units(self, units: Region) -> Self:
        return self.at(units)
