"""The section on the filters of the first local layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.layer import Layer
from lnet.compiler.core.shapes import Size, unit_sheet
from lnet.compiler.graph.graph import Graph
from lnet.runtime.analysis.contact import png, png_url
from lnet.runtime.analysis.filters import Array, flat, mosaic, oriented_fraction
from lnet.runtime.engine.units import in_units

from .pictures import pixels_of

MOSAICS = 8
"""Maps whose filters are shown."""
ACROSS = 520
"""Largest width of a picture of filters in pixels; small pictures are enlarged to half of that."""


def first_weight(graph: Graph) -> str | None:
    """Return the name of the first local layer's weights, None without such a layer."""
    first = _first(graph)
    return None if first is None else _weight(first)


def first_filters(graph: Graph, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return pictures of the first local layer's filters and a caption, None without such a layer."""
    first = _first(graph)
    if first is None:
        return None
    weight = params[_weight(first)]
    share, threshold = oriented_fraction(flat(weight))
    positions, shown = _positions(first, weight.shape), _excerpt(weight.shape, first.patch, _most(weight))
    return {
        "caption": f"{first.path}: {positions} {shown} Each filter is scaled by its "
        f"largest weight: grey is 0. Of all filters {share:.0%} keep to one orientation (resultant over "
        f"{threshold:.2f}, which 1% of random filters reach).",
        "pictures": {name: png_url(png(picture)) for name, picture in filter_pictures(graph, weight).items()},
    }


def filter_pictures(graph: Graph, weight: Array) -> dict[str, NDArray[np.uint8]]:
    """Return pictures `[rows, columns, 3]` of the filters in the first local layer's weights, by what they show."""
    first = _first(graph)
    assert first is not None
    pictures = _pictures(weight, first.patch, _most(weight))
    scale = max(1, ACROSS // 2 // max(max(picture.shape[:2]) for picture in pictures.values()))
    return {name: pixels_of(picture, scale) for name, picture in pictures.items()}


def _most(weight: Array) -> int:
    """Return how many filters stand side by side at most."""
    return max(1, ACROSS // (int(max(weight.shape[2:4])) + 1))


def _pictures(weight: Array, patch: Size | None, most: int) -> dict[str, Array]:
    """Return the middle of the unit sheet of a layer with a patch, of another the filters of its first maps."""
    if patch is None:
        return {f"map {map_}": mosaic(weight, map_, most) for map_ in range(min(MOSAICS, weight.shape[-1]))}
    units = np.moveaxis(in_units(np.moveaxis(weight, -1, 2), patch), 2, -1)
    rows, columns = (_middle(extent, most) for extent in units.shape[:2])
    return {f"{units.shape[0]}x{units.shape[1]} units": mosaic(units[rows, columns], 0, most)}


def _middle(extent: int, most: int) -> slice:
    before = max(0, extent - most) // 2
    return slice(before, before + most)


def _positions(layer: Layer, shape: tuple[int, ...]) -> str:
    """Describe which positions share filters, for weights `[kr, kc, ...]`."""
    rows, columns = layer.sheet.height, layer.sheet.width
    if "weight" in layer.op.position_roles:
        return f"{rows}x{columns} positions, each with filters of its own, drawn where they stand."
    if shape[:2] == (1, 1):
        return f"{rows}x{columns} positions, which share their filters."
    how = "in turn" if layer.op.shared_block == Size(1, 1) else f"in blocks of {layer.op.shared_block}"
    return f"{rows}x{columns} positions, which share {shape[0]}x{shape[1]} sets of filters {how}."


def _excerpt(shape: tuple[int, ...], patch: Size | None, most: int) -> str:
    """Describe the part shown of weights `[kr, kc, field rows, field columns, channels, maps]`."""
    channels, maps = shape[4:]
    whole = unit_sheet(Size(*shape[:2]), patch)
    shown = Size(min(whole.rows, most), min(whole.columns, most))
    parts = []
    if shown != whole:
        what = "units, those in the middle" if patch else "positions, evenly spaced"
        parts.append(f"{shown} of {whole} {what}")
    if maps > MOSAICS and not patch:
        parts.append(f"maps 0 to {MOSAICS - 1} of {maps}")
    if channels != 3 and channels > 1:
        parts.append(f"of {channels} channels the strongest of each filter")
    return f"Shown: {'; '.join(parts)}." if parts else "All are shown."


def _first(graph: Graph) -> Layer | None:
    return next((layer for layer in graph.layers if layer.op.has_filters), None)


def _weight(layer: Layer) -> str:
    return next(parameter.name for parameter in layer.parameters if parameter.role == "weight")
