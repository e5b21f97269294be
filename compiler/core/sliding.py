"""Fields that slide over a sheet: the geometry that several kinds share."""

from __future__ import annotations

from dataclasses import replace

from .arguments import NO_ZEROS, ONE, Padding, Refused
from .shapes import Size, Slide, Window


def slide_over(size: Size, field: Size, stride: Size, pad: Padding, dilation: Size = ONE) -> Window:
    """Return the window of a field over a sheet, or raise `Refused` where the field does not fit."""
    window = Window(
        _slide(size.rows, field.rows, stride.rows, pad.word, pad.zeros.rows, dilation.rows),
        _slide(size.columns, field.columns, stride.columns, pad.word, pad.zeros.columns, dilation.columns),
    )
    for axis, slide in (("rows", window.rows), ("columns", window.columns)):
        padded = slide.extent + slide.before + slide.after
        if slide.span > padded:
            extent = _so_many(padded, axis if padded == slide.extent else f"padded {axis}")
            apart = f", {slide.dilation} apart," if slide.dilation > 1 else ""
            raise Refused(
                "E401",
                f"a field of {_so_many(slide.field, axis)}{apart} does not fit into the {extent} that it reads",
                argument="field",
                notes=(f"the layer that it reads is {size} ({_axes(size)})", *_spanned(slide, axis)),
                hints=("make the field smaller, or give it a 'pad'",),
            )
    return window


def slide_out(
    size: Size, field: Size, stride: Size, pad: Padding, dilation: Size = ONE, extra: Size = NO_ZEROS
) -> Window:
    """Return the window that has so many positions, over the sheet that its fields cover; raise `Refused` if it is empty.

    Of what `pad` cuts off, `extra` rows and columns at the end are kept.
    """
    rows = Slide(size.rows, field.rows, stride.rows, dilation=dilation.rows)
    columns = Slide(size.columns, field.columns, stride.columns, dilation=dilation.columns)
    window = Window(
        _over(rows, pad, pad.zeros.rows, extra.rows), _over(columns, pad, pad.zeros.columns, extra.columns)
    )
    _check_extents(window, size)
    return window


def _over(slide: Slide, pad: Padding, zeros: int, extra: int) -> Slide:
    """Return the slide whose outputs are the positions given: so far the extent of `slide`."""
    positions = slide.extent
    if pad.word == "same":
        total = max(slide.span - slide.stride, 0)
        extent, before = positions * slide.stride, total // 2
        return replace(slide, extent=extent, before=before, after=total - before)
    extent = (positions - 1) * slide.stride + slide.span - 2 * zeros + extra
    return replace(slide, extent=extent, before=zeros, after=zeros)


def _check_extents(window: Window, positions: Size) -> None:
    for axis, slide, count in (
        ("rows", window.rows, positions.rows),
        ("columns", window.columns, positions.columns),
    ):
        if slide.extent < 1:
            reach = (count - 1) * slide.stride + slide.span
            raise Refused(
                "E406",
                f"'pad' cuts off {2 * slide.before} {axis}, and only {reach} are written",
                argument="pad",
                notes=(
                    f"the layer that it reads is {positions}: "
                    f"({count} - 1) * {slide.stride} + {slide.span} = {reach} {axis} are written",
                ),
                hints=("make 'pad' smaller",),
            )


def _axes(size: Size) -> str:
    return f"{_so_many(size.rows, 'rows')}, {_so_many(size.columns, 'columns')}"


def _so_many(number: int, axis: str) -> str:
    return f"{number} {axis.removesuffix('s') if number == 1 else axis}"


def _spanned(slide: Slide, axis: str) -> tuple[str, ...]:
    if slide.dilation == 1:
        return ()
    return (f"it spans {slide.dilation} * ({slide.field} - 1) + 1 = {slide.span} {axis}",)


def _slide(extent: int, field: int, stride: int, word: str, zeros: int, dilation: int) -> Slide:
    slide = Slide(extent, field, stride, zeros, zeros, dilation)
    if word == "same":
        outputs = -(-extent // stride)
        total = max((outputs - 1) * stride + slide.span - extent, 0)
        return replace(slide, before=total // 2, after=total - total // 2)
    return slide
