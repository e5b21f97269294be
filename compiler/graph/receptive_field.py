"""Receptive fields: the region of one layer that neurons of another depend on."""

from __future__ import annotations

from functools import reduce
from itertools import zip_longest

from lnet.compiler.core.shapes import Region, Size, whole

from .graph import Graph, Seen

EMPTY = whole(Size(0, 0))


def receptive_region(graph: Graph, path: str, region: Region, source: str | None = None) -> Region:
    """Return the region of `source` (the input unless given) that `region` of a layer depends on.

    Exact for the rectangles that windows, pools and normalisations see, clipped to the sheet. Where `source` is
    reached on several ways the smallest rectangle around all of them is meant. What was found is kept with the graph:
    deep networks ask for the same regions of a layer from many others.
    """
    target = graph.layer(source).path if source else graph.input.path
    known = graph.regions_seen.setdefault(target, {})
    asked = Seen(graph.layer(path).path, region)
    waiting = [asked]
    while waiting:
        here = waiting[-1]
        needed = [] if here in known or here.layer == target else _operands(graph, here)
        missing = [each for each in needed if each not in known]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        if here not in known:
            found = [known[each] for each in needed] or [here.region if here.layer == target else EMPTY]
            known[here] = reduce(Region.hull, found)
    return known[asked]


def _operands(graph: Graph, here: Seen) -> list[Seen]:
    """Return what a region of a layer reads."""
    layer, found = graph.layer(here.layer), []
    for number, path in enumerate(layer.reads):
        operand = graph.layer(path)
        found.append(Seen(operand.path, layer.op.needs_of(number, here.region).clip(operand.sheet.size)))
    return found


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
