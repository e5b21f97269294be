"""Layers of several operands: concat and add."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.arguments import ReadsMany, Refused
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet, Size, line


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """The maps of several layers, one after the other."""

    kind: ClassVar[str] = "concat"
    size: Size
    maps_in: tuple[int, ...]

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.size.rows, self.size.columns, sum(self.maps_in))

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def part(self, region: Region) -> Concat:
        return replace(self, size=region.size)


@dataclass(frozen=True, slots=True)
class Add(Op):
    """The sum of several layers."""

    kind: ClassVar[str] = "add"
    keeps_patch: ClassVar[bool] = True
    reads_sheet: Sheet

    @property
    def sheet(self) -> Sheet:
        return self.reads_sheet

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def part(self, region: Region) -> Add:
        return Add(Sheet.over(region, self.reads_sheet.maps))

    def in_line(self) -> Add:
        return Add(line(self.reads_sheet.values))


def concat(of: ReadsMany) -> Concat:
    """The maps of several layers, one after the other

    Example: concat(of = [first, second])
    """
    _check_equal([(layer.path, layer.sheet.size) for layer in of], "rows and columns")
    return Concat(of[0].sheet.size, tuple(layer.sheet.maps for layer in of))


def add(of: ReadsMany) -> Add:
    """The sum of several layers, element by element

    Example: add(of = [first, second])
    """
    _check_equal([(layer.path, layer.sheet) for layer in of], "extents")
    return Add(of[0].sheet)


def _check_equal(extents: list[tuple[str, Size]] | list[tuple[str, Sheet]], what: str) -> None:
    (first, expected), *others = extents
    for path, found in others:
        if found != expected:
            raise Refused(
                "E402",
                f"the {what} must agree, but '{first}' is {expected} and '{path}' is {found}",
                argument="of",
                hints=("'crop' cuts a layer down to its central rows and columns",),
            )


KINDS = {"concat": concat, "add": add}
OPS = (Concat, Add)
