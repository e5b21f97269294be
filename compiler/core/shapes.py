"""Extents of sheets, and a field that slides along them.

All geometry of the language comes down to one picture, drawn along one axis (field 3, stride 2, one zero before):

        0 | x0 x1 x2 x3 x4 x5        extent 6, before 1
       [.........]                   output 0 reads inputs 0..1 (and a zero)
             [.........]             output 1 reads inputs 1..3
                   [.........]       output 2 reads inputs 3..5

A dilated field skips inputs: of field 3 and dilation 2 output 0 reads inputs 0, 2 and 4, a span of 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Size:
    """Rows and columns."""

    rows: int
    columns: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """The extents of a layer's value: `height x width x maps` for one image."""

    height: int
    width: int
    maps: int

    @staticmethod
    def over(region: Region, maps: int) -> Sheet:
        """Return the extents of a region of a sheet."""
        return Sheet(region.size.rows, region.size.columns, maps)

    @property
    def size(self) -> Size:
        return Size(self.height, self.width)

    @property
    def values(self) -> int:
        return self.height * self.width * self.maps

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.maps}"


def extents(sheet: Sheet, patch: Size | None) -> str:
    """Return extents as text, with the patch in which the maps lie at each position: `10x10x64 (8x8)`."""
    return f"{sheet} ({patch})" if patch else str(sheet)


def unit_sheet(size: Size, patch: Size | None) -> Size:
    """Return the rows and columns of units of a sheet of patches; those of positions without one."""
    return Size(size.rows * patch.rows, size.columns * patch.columns) if patch else size


def line(length: int) -> Sheet:
    """Return the extents of a vector whose values are dealt to tiles by their numbers (compiler/ops/line.py)."""
    return Sheet(length, 1, 1)


@dataclass(frozen=True, slots=True)
class Interval:
    """A half-open range of positions along one axis; empty if `stop <= start`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return max(0, self.stop - self.start)

    def clip(self, extent: int) -> Interval:
        return self.intersect(Interval(0, extent))

    def intersect(self, other: Interval) -> Interval:
        start = max(self.start, other.start)
        return Interval(start, max(start, min(self.stop, other.stop)))

    def hull(self, other: Interval) -> Interval:
        """Return the smallest interval that covers both; an empty one adds nothing."""
        if not self.length:
            return other
        if not other.length:
            return self
        return Interval(min(self.start, other.start), max(self.stop, other.stop))


def part(extent: int, number: int, parts: int) -> Interval:
    """Return one of so many even parts of an axis: the last is never smaller than any other."""
    return Interval(extent * number // parts, extent * (number + 1) // parts)


@dataclass(frozen=True, slots=True)
class Slide:
    """A field sliding along one axis of `extent` inputs, with zeros `before` and `after` them.

    It reads `field` inputs, `dilation` apart.
    """

    extent: int
    field: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1

    @property
    def span(self) -> int:
        """Inputs from the first of a field to its last, those that it skips included."""
        return self.dilation * (self.field - 1) + 1

    @property
    def reach(self) -> int:
        """Inputs from the first of all fields to the last, zeros around the sheet included."""
        return (self.outputs - 1) * self.stride + self.span

    @property
    def outputs(self) -> int:
        """How many positions the field takes: `(extent + before + after - span) // stride + 1`."""
        return (self.extent + self.before + self.after - self.span) // self.stride + 1

    def reads(self, outputs: Interval) -> Interval:
        """Return the inputs that some of `outputs` read."""
        if not outputs.length:
            return Interval(0, 0)
        start = outputs.start * self.stride - self.before
        stop = (outputs.stop - 1) * self.stride - self.before + self.span
        return Interval(start, stop).clip(self.extent)

    def part(self, outputs: Interval) -> Slide:
        """Return the slide that makes just `outputs`, from just the inputs that they read."""
        start = outputs.start * self.stride - self.before
        stop = (outputs.stop - 1) * self.stride - self.before + self.span
        inside = Interval(start, stop).clip(self.extent)
        before, after = inside.start - start, stop - inside.stop
        return replace(self, extent=inside.length, before=before, after=after)

    def readers(self, inputs: Interval) -> Interval:
        """Return the outputs whose spans hold some of `inputs`."""
        if not inputs.length:
            return Interval(0, 0)
        start = -(-(inputs.start + self.before - self.span + 1) // self.stride)
        stop = (inputs.stop - 1 + self.before) // self.stride + 1
        return Interval(start, stop).clip(self.outputs)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of positions of a sheet."""

    rows: Interval
    columns: Interval

    @property
    def area(self) -> int:
        return self.rows.length * self.columns.length

    @property
    def size(self) -> Size:
        return Size(self.rows.length, self.columns.length)

    @property
    def start(self) -> Size:
        return Size(self.rows.start, self.columns.start)

    def clip(self, size: Size) -> Region:
        return Region(self.rows.clip(size.rows), self.columns.clip(size.columns))

    def intersect(self, other: Region) -> Region:
        return Region(self.rows.intersect(other.rows), self.columns.intersect(other.columns))

    def hull(self, other: Region) -> Region:
        """Return the smallest region that covers both; an empty one adds nothing."""
        if not self.area:
            return other
        if not other.area:
            return self
        return Region(self.rows.hull(other.rows), self.columns.hull(other.columns))

    def shift(self, rows: int, columns: int) -> Region:
        return Region(
            Interval(self.rows.start + rows, self.rows.stop + rows),
            Interval(self.columns.start + columns, self.columns.stop + columns),
        )

    def within(self, outer: Region) -> Region:
        """Return the region as seen from the first row and column of another."""
        return self.shift(-outer.rows.start, -outer.columns.start)

    def grow(self, rows: int, columns: int) -> Region:
        """Return the region with `rows` and `columns` more on each side; an empty one stays empty."""
        if not self.area:
            return self
        return Region(
            Interval(self.rows.start - rows, self.rows.stop + rows),
            Interval(self.columns.start - columns, self.columns.stop + columns),
        )


@dataclass(frozen=True, slots=True)
class Strip:
    """Some maps, evenly spaced, at a rectangle of positions: a row or a column of the units of a sheet."""

    region: Region
    maps: range

    def within(self, outer: Region) -> Strip:
        """Return the strip as seen from the first row and column of a region."""
        return Strip(self.region.within(outer), self.maps)


@dataclass(frozen=True, slots=True)
class Rows:
    """Ranges of a parameter's first axis, in their order."""

    intervals: tuple[Interval, ...]

    @staticmethod
    def over(region: Region, sheet: Sheet) -> Rows:
        """Return where the values of a region stand among all of a sheet, in row, column, map order."""
        rows, columns = region.rows, region.columns
        if not region.area:
            return Rows(())
        if columns.length == sheet.width:
            line = sheet.width * sheet.maps
            return Rows((Interval(rows.start * line, rows.stop * line),))
        starts = [row * sheet.width for row in range(rows.start, rows.stop)]
        return Rows(
            tuple(
                Interval((start + columns.start) * sheet.maps, (start + columns.stop) * sheet.maps)
                for start in starts
            )
        )

    @property
    def length(self) -> int:
        return sum(interval.length for interval in self.intervals)

    def shared(self, other: Rows) -> Iterator[tuple[Interval, Interval]]:
        """Yield the ranges that both have: as they count among these rows, and among those of the other."""
        for mine, own in self._counted():
            for theirs, at in other._counted():
                both = mine.intersect(theirs)
                if both.length:
                    here, there = own + both.start - mine.start, at + both.start - theirs.start
                    yield Interval(here, here + both.length), Interval(there, there + both.length)

    def common(self, other: Rows) -> Rows:
        """Return the ranges that both have, in the order of these."""
        pairs = ((mine, theirs) for mine in self.intervals for theirs in other.intervals)
        both = (mine.intersect(theirs) for mine, theirs in pairs)
        return Rows(tuple(interval for interval in both if interval.length))

    def _counted(self) -> Iterator[tuple[Interval, int]]:
        """Yield the ranges, each with the number of rows before it."""
        before = 0
        for interval in self.intervals:
            yield interval, before
            before += interval.length


Place = Region | Rows | None
"""Where a part of a parameter lies in the whole: at positions, in ranges of the first axis, or it is all (None)."""


def shape_at(shape: tuple[int, ...], place: Place | Strip) -> tuple[int, ...]:
    """Return the shape of a part of a parameter."""
    match place:
        case None:
            return shape
        case Rows():
            return place.length, *shape[1:]
        case Region():
            return place.size.rows, place.size.columns, *shape[2:]
        case Strip():
            return place.region.size.rows, place.region.size.columns, *shape[2:-1], len(place.maps)


Slices = tuple[slice, ...]


def overlap(place: Place, other: Place, shape: tuple[int, ...]) -> Iterator[tuple[Slices, Slices]]:
    """Yield what two parts of a parameter have in common, as indices of each.

    Raises ValueError for places that do not compare.
    """
    if isinstance(place, Rows) or isinstance(other, Rows):
        everything = Rows((Interval(0, shape[0]),))
        mine, theirs = place or everything, other or everything
        if not (isinstance(mine, Rows) and isinstance(theirs, Rows)):
            raise ValueError("a region, where rows are expected")
        for one, two in mine.shared(theirs):
            yield (slice(one.start, one.stop),), (slice(two.start, two.stop),)
        return
    all_positions = whole(Size(shape[0], shape[1]))
    region, with_it = place or all_positions, other or all_positions
    both = region.intersect(with_it)
    yield _slices(both.within(region)), _slices(both.within(with_it))


def _slices(region: Region) -> Slices:
    return (
        slice(region.rows.start, region.rows.stop),
        slice(region.columns.start, region.columns.stop),
    )


def whole(size: Size) -> Region:
    """Return the region that is all of a sheet."""
    return Region(Interval(0, size.rows), Interval(0, size.columns))


@dataclass(frozen=True, slots=True)
class Window:
    """A field sliding over rows and columns."""

    rows: Slide
    columns: Slide

    @property
    def field(self) -> Size:
        return Size(self.rows.field, self.columns.field)

    @property
    def span(self) -> Size:
        """The field with the inputs that it skips."""
        return Size(self.rows.span, self.columns.span)

    @property
    def inputs(self) -> Size:
        return Size(self.rows.extent, self.columns.extent)

    @property
    def outputs(self) -> Size:
        return Size(self.rows.outputs, self.columns.outputs)

    def reads(self, outputs: Region) -> Region:
        """Return the inputs that some of `outputs` read."""
        return Region(self.rows.reads(outputs.rows), self.columns.reads(outputs.columns))

    def part(self, outputs: Region) -> Window:
        """Return the window that makes just `outputs`, from just the inputs that they read."""
        return Window(self.rows.part(outputs.rows), self.columns.part(outputs.columns))

    def readers(self, inputs: Region) -> Region:
        """Return the outputs that read some of `inputs`."""
        return Region(self.rows.readers(inputs.rows), self.columns.readers(inputs.columns))
