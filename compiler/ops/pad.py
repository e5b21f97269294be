"""A layer with rows and columns around it.

One axis of 4 positions, with 2 before them and 3 after:

    zero       0 0 | a b c d | 0 0 0
    edge       a a | a b c d | d d d
    reflect    c b | a b c d | c b a
    wrap       c d | a b c d | a b c
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import Natural, Reads, Refused, one_of, since
from lnet.compiler.core.layer import Layer, Op
from lnet.compiler.core.shapes import Interval, Region, Sheet

from .side import joined

NOTHING = Interval(0, 0)


@dataclass(frozen=True, slots=True)
class Run:
    """Positions of a padded axis that show neighbours of the operand, first to last or last to first.

    `source` is shorter where one of them is shown again and again (`edge`), or none (`zero`).
    """

    length: int
    source: Interval
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of `extent` positions with what stands around it, or a part of that.

    `shown`: the positions of the value, counted like those of the operand, so that those before it are below 0. `given`:
    the positions of the operand that are there to be shown.
    """

    extent: int
    shown: Interval
    given: Interval

    @staticmethod
    def of(extent: int, before: int, after: int) -> Axis:
        return Axis(extent, Interval(-before, extent + after), Interval(0, extent))

    @property
    def around(self) -> tuple[int, int]:
        """The numbers of positions before and after those of the operand."""
        return -self.shown.start, self.shown.stop - self.extent

    def runs(self, fill: str) -> tuple[Run, ...]:
        """Return what the positions show, in their order; sources are positions of the whole operand."""
        n, shown = self.extent, self.shown
        before = Interval(shown.start, min(shown.stop, 0))
        within = shown.clip(n)
        after = Interval(max(shown.start, n), shown.stop)
        found = (_around(before, n, fill), Run(within.length, within), _around(after, n, fill))
        return tuple(run for run in found if run.length)

    def needs(self, fill: str) -> Interval:
        """Return the positions of the whole operand that are shown, and those between them."""
        return reduce(Interval.hull, (run.source for run in self.runs(fill)), NOTHING)

    def showing(self, positions: Interval) -> Axis:
        """Return the axis with some of its positions alone, counted from the first that it shows."""
        start = self.shown.start
        return replace(self, shown=Interval(positions.start + start, positions.stop + start))


def _around(shown: Interval, n: int, fill: str) -> Run:
    """Return what positions before or after an axis of `n` show; a run of length 0 if there are none."""
    first, last = shown.start, shown.stop - 1
    after = first >= n
    match fill:
        case "edge":
            return Run(shown.length, Interval(n - 1, n) if after else Interval(0, 1))
        case "reflect":
            mirror = 2 * (n - 1) if after else 0
            return Run(shown.length, Interval(mirror - last, mirror - first + 1), backward=True)
        case "wrap":
            turn = -n if after else n
            return Run(shown.length, Interval(first + turn, last + 1 + turn))
    return Run(shown.length, NOTHING)


@dataclass(frozen=True, slots=True)
class Pad(Op):
    """The rows and columns of a layer, and what `fill` puts around them."""

    kind: ClassVar[str] = "pad"
    keeps_patch: ClassVar[bool] = True
    maps: int
    rows: Axis
    columns: Axis
    fill: str

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.rows.shown.length, self.columns.shown.length, self.maps)

    def needs(self, region: Region) -> Region:
        """What a region shows, as one rectangle: `wrap` may show opposite sides (`in_tiles`)."""
        shown = self._showing(region)
        rows, columns = shown.rows.needs(self.fill), shown.columns.needs(self.fill)
        if not rows.length or not columns.length:
            return Region(NOTHING, NOTHING)
        return Region(rows, columns).shift(-self.rows.given.start, -self.columns.given.start)

    def part(self, region: Region) -> Pad:
        shown, seen = self._showing(region), self.needs(region)
        if not seen.area:  # zeros alone
            return replace(
                shown, rows=replace(shown.rows, given=NOTHING), columns=replace(shown.columns, given=NOTHING)
            )
        given = seen.shift(self.rows.given.start, self.columns.given.start)
        return replace(
            shown,
            rows=replace(shown.rows, given=given.rows),
            columns=replace(shown.columns, given=given.columns),
        )

    def _showing(self, region: Region) -> Pad:
        return replace(
            self, rows=self.rows.showing(region.rows), columns=self.columns.showing(region.columns)
        )

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def in_tiles(self, layer: Layer) -> tuple[Layer, ...]:
        """What wraps is joined of sides, rows first, so that no tile gets what lies between two opposite ones."""
        axes = ((True, self.rows), (False, self.columns))
        steps = [(down, *axis.around) for down, axis in axes if any(axis.around)]
        if self.fill != "wrap" or not steps:
            return (layer,)
        x = layer.reads[0], Sheet(self.rows.extent, self.columns.extent, self.maps)
        found: list[Layer] = []
        for number, (down, before, after) in enumerate(steps, 1):
            name = layer.path if number == len(steps) else f"{layer.path} rows"
            found += joined(name, x, before, after, down, layer.span)
            x = name, found[-1].sheet
        return (*found[:-1], replace(found[-1], patch=layer.patch))


Fill = Annotated[str, one_of("zero", "edge", "reflect", "wrap")]


@since(2)
def pad(
    top: Natural = 0,
    bottom: Natural = 0,
    left: Natural = 0,
    right: Natural = 0,
    fill: Fill = "zero",
    *,
    of: Reads,
) -> Pad:
    """Adds rows above and below, and columns left and right: zeros (`zero`), copies of the outermost (`edge`), a
    mirror image without the outermost (`reflect`), or the opposite side (`wrap`)

    Example: pad(2, 1, left = 1, right = 3, fill = wrap)
    """
    size = of.sheet.size
    for name, width, extent in (
        ("top", top, size.rows),
        ("bottom", bottom, size.rows),
        ("left", left, size.columns),
        ("right", right, size.columns),
    ):
        most = extent - (fill == "reflect")
        if fill in ("reflect", "wrap") and width > most:
            what = "rows" if name in ("top", "bottom") else "columns"
            raise Refused(
                "E409",
                f"'fill = {fill}' copies at most {most:,} {what} of '{of.path}', which is {size}; found {width:,}",
                argument=name,
            )
    return Pad(of.sheet.maps, Axis.of(size.rows, top, bottom), Axis.of(size.columns, left, right), fill)


KINDS = {"pad": pad}
OPS = (Pad,)
