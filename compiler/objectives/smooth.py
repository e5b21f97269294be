r"""Similarity of the weights of neighbouring units.

Units are neighbours in the layer's unit sheet, or without a patch in the sheet of each map. Each pair belongs to one
unit, so that a tile needs one row and one column beyond its own units:

    o---a     o and a, o and b           4 neighbours
    | \ /|     o and c, a and b as well   8
    | / \|
    b---c     a, b and c may lie beyond the border of o's tile, or with `wrap` at the other end of the sheet
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import ArgumentType, Flag, Mismatch, Reads, Refused
from lnet.compiler.core.layer import Layer, Parameter
from lnet.compiler.core.shapes import Interval, Region, Sheet, Size, Strip, unit_sheet
from lnet.compiler.core.values import Value

from .base import Strips, Term


@dataclass(frozen=True, slots=True)
class Smooth(Term):
    """Mean over pairs of neighbouring units of one minus the cosine of their weights."""

    kind: ClassVar[str] = "smooth"
    reads_weights: ClassVar[bool] = True
    neighbours: int = 4  # or 8
    wrap: bool = False
    bias: bool = False
    patch: Size | None = None

    def reads_parameter(self, parameter: Parameter) -> bool:
        return parameter.is_weight or self.bias

    def pairs(self, sheet: Sheet) -> int:
        """Pairs side by side, one above the other, and with 8 neighbours across both diagonals."""
        units = unit_sheet(sheet.size, self.patch)
        down, right = (extent - (not self._joined(extent)) for extent in (units.rows, units.columns))
        across = 2 * down * right if self.neighbours == 8 else 0
        return (units.rows * right + down * units.columns + across) * (1 if self.patch else sheet.maps)

    def strips(self, owned: Region, sheet: Sheet) -> Strips:
        if not owned.area:
            return None, None, None
        patch, every = self.patch or Size(1, 1), range(sheet.maps)
        first_column, first_row = every[:: patch.columns], every[: patch.columns]
        corner = every[:1]
        if not self.patch:
            first_column = first_row = corner = every
        columns = self._next(owned.columns, sheet.width, patch.columns)
        rows = self._next(owned.rows, sheet.height, patch.rows)
        return (
            Strip(Region(owned.rows, columns), first_column) if columns else None,
            Strip(Region(rows, owned.columns), first_row) if rows else None,
            Strip(Region(rows, columns), corner) if rows and columns and self.neighbours == 8 else None,
        )

    def _next(self, owned: Interval, extent: int, units: int) -> Interval | None:
        """Return the position that follows some along an axis, each of so many units."""
        if owned.stop < extent:
            return Interval(owned.stop, owned.stop + 1)
        return Interval(0, 1) if self._joined(extent * units) else None

    def _joined(self, extent: int) -> bool:
        """Whether the ends of an axis are neighbours; of two units they are already."""
        return self.wrap and extent >= 3


def _neighbours(value: Value) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value not in (4, 8):
        raise Mismatch(f"found {value:g}")
    return int(value)


Neighbours = Annotated[int, ArgumentType("4 or 8", _neighbours)]


def smooth(of: Reads, neighbours: Neighbours = 4, wrap: Flag = False, bias: Flag = False) -> Smooth:
    """Mean, over pairs of neighbouring units, of one minus the cosine of their weights; of a `local` with `share = none`:
    below

    Example: smooth(of = first, neighbours = 8)
    """
    _check(of)
    if bias and "bias" not in of.op.weights():
        raise Refused(
            "E503",
            f"'{of.path}' has no bias to compare",
            argument="bias",
            hints=("give the layer 'bias = true', or leave out 'bias' here",),
        )
    return Smooth(neighbours, wrap, bias, of.patch)


def _check(of: Layer) -> None:
    if not (of.op.has_filters and "weight" in of.op.position_roles):
        vector = of.sheet.size == Size(1, 1) and "weight" in of.op.weights()
        local = "write it as a 'local' layer with a field over the whole sheet: that has the same units, in one position"
        raise Refused(
            "E503",
            f"'smooth' needs a 'local' layer with 'share = none', and '{of.path}' is not one",
            argument="of",
            notes=("it compares the weights of neighbouring units, so every position must have its own",),
            hints=(local if vector else "name such a layer with 'of'",),
        )
    units = unit_sheet(of.sheet.size, of.patch)
    if units.rows * units.columns < 2:
        what = "unit" if of.patch else "position"
        raise Refused("E503", f"'{of.path}' has one {what}, so no neighbours to compare", argument="of")


KINDS = {"smooth": smooth}
TERMS = (Smooth,)
