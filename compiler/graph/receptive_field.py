"""Receptive fields: the region of one layer that neurons of another depend on."""

from __future__ import annotations

from itertools import zip_longest

from lnet.compiler.core.shapes import Region, Size, whole

from .graph import Graph


def receptive_region(graph: Graph, path: str, region: Region, source: str | None = None) -> Region:
    """Return the region of `source` (the input unless given) that `region` of a layer depends on.

    Exact for the rectangles that windows, pools and normalisations see, clipped to the sheet. Where a layer is
    reached on several ways the smallest rectangle around all of them is meant.
    """
    target = graph.layer(source).path if source else graph.input.path
    seen = {graph.layer(path).path: region}
    for layer in reversed(graph.layers):
        here = seen.get(layer.path)
        if here is None or layer.path == target:
            continue
        for number, read in enumerate(layer.reads):
            operand = graph.layer(read)
            needed = layer.op.needs_of(number, here).clip(operand.sheet.size)
            seen[read] = seen[read].hull(needed) if read in seen else needed
    empty = whole(Size(0, 0))
    return seen.get(target, empty)


def receptive_field(graph: Graph, path: str) -> Size:
    """Return the largest input region, in image pixels, that one neuron of a layer sees.

    Measured at the middle of the sheet, where borders cut off least, and at the neighbouring neurons, because
    strides and blocks make positions see regions of different sizes; rows and columns do not depend on each other.
    """
    sheet, period = graph.layer(path).sheet, graph.period(path)
    rows, columns = _middle(sheet.height, period.rows), _middle(sheet.width, period.columns)
    sizes = [
        receptive_region(graph, path, whole(Size(1, 1)).shift(row, column)).size
        for row, column in zip_longest(rows, columns, fillvalue=0)
    ]
    return Size(max(size.rows for size in sizes), max(size.columns for size in sizes))


def _middle(extent: int, period: int) -> range:
    before = max(1, period // 2)
    return range(max(0, extent // 2 - before), min(extent, extent // 2 + max(2, period - before)))
