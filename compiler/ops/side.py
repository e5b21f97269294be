"""What tiles compute in the place of a `pad` that wraps: strips of the far sides, which their owners send.

    x ──> p = pad(top = 1, bottom = 1, fill = wrap)

    x ──┬─> p above    the last row of x        ──┐
        ├─────────────────────────────────────────┼──> p     joined; columns likewise, of these rows (`p rows`)
        └─> p below    the first row of x       ──┘

A strip belongs to the tiles that own its positions in x. A tile that shows some of it gets that, and nothing of what lies
between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import ClassVar

from lnet.compiler.core.layer import Layer, Op
from lnet.compiler.core.shapes import Interval, Region, Sheet, Size, whole
from lnet.dsl.source import Span


@dataclass(frozen=True, slots=True)
class Side(Op):
    """A region of a sheet, which the owners of its positions send to tiles that read it."""

    kind: ClassVar[str] = "side"
    follows: ClassVar[bool] = True
    maps: int
    region: Region

    @property
    def sheet(self) -> Sheet:
        return Sheet.over(self.region, self.maps)

    @property
    def exchanged(self) -> bool:
        return True

    def needs(self, region: Region) -> Region:
        return region.shift(self.region.rows.start, self.region.columns.start)

    def part(self, region: Region) -> Side:
        return replace(self, region=whole(region.size))


@dataclass(frozen=True, slots=True)
class Join(Op):
    """Sheets one below the other (`down`), or side by side."""

    kind: ClassVar[str] = "join"
    sheets: tuple[Sheet, ...]
    down: bool

    @property
    def sheet(self) -> Sheet:
        first = self.sheets[0]
        if self.down:
            return replace(first, height=sum(sheet.height for sheet in self.sheets))
        return replace(first, width=sum(sheet.width for sheet in self.sheets))

    def needs_of(self, operand: int, region: Region) -> Region:
        sheet, start = self.sheets[operand], self._starts[operand]
        return region.shift(-start.rows, -start.columns).clip(sheet.size)

    def part(self, region: Region) -> Join:
        parts = (self.needs_of(number, region) for number in range(len(self.sheets)))
        return replace(self, sheets=tuple(Sheet.over(part, self.sheets[0].maps) for part in parts))

    @property
    def _starts(self) -> list[Size]:
        """Where each sheet begins."""
        ends = accumulate(sheet.height if self.down else sheet.width for sheet in self.sheets)
        return [Size(end, 0) if self.down else Size(0, end) for end in (0, *ends)]


def joined(
    name: str, of: tuple[str, Sheet], before: int, after: int, down: bool, span: Span
) -> Iterator[Layer]:
    """Yield the strips of a sheet's last positions, which stand before it, and of its first ones; then all joined."""
    sheet = of[1]
    extent = sheet.height if down else sheet.width
    first, last = ("above", "below") if down else ("left", "right")
    before_it = _side(f"{name} {first}", of, Interval(extent - before, extent), down, span)
    behind_it = _side(f"{name} {last}", of, Interval(0, after), down, span)
    yield from (*before_it, *behind_it)
    strips = [[(layer.path, layer.sheet) for layer in found] for found in (before_it, behind_it)]
    reads = (*strips[0], of, *strips[1])
    yield Layer(
        name, Join(tuple(sheet for _, sheet in reads), down), tuple(path for path, _ in reads), (), span
    )


def _side(name: str, of: tuple[str, Sheet], taken: Interval, down: bool, span: Span) -> list[Layer]:
    """Return the strip of some rows (`down`) or columns of a sheet; none of no rows."""
    path, sheet = of
    everything = whole(sheet.size)
    region = replace(everything, rows=taken) if down else replace(everything, columns=taken)
    return [Layer(name, Side(sheet.maps, region), (path,), (), span)] if taken.length else []
