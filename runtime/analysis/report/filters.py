"""The section on the filters of the first local layer."""

from __future__ import annotations

from typing import Any

from lnet.compiler.core.layer import Layer
from lnet.compiler.core.shapes import Size
from lnet.compiler.graph.graph import Graph
from lnet.runtime.analysis.filters import flat, mosaic, oriented_fraction
from lnet.runtime.engine.network import Network

from .material import Material
from .pictures import data_url

MOSAICS = 8
"""Maps whose filters are shown."""
ACROSS = 520
"""Largest width of a picture of filters in pixels; small pictures are enlarged to half of that."""


def filters(material: Material) -> dict[str, Any]:
    """Return the content of the section, or why there is no network to show."""
    network, missing = material.network
    shown = None if network is None else first_filters(material.run.plan.graph, network)
    return {"no_network": missing, "filters": shown}


def first_filters(graph: Graph, network: Network) -> dict[str, Any] | None:
    """Return pictures of the first local layer's filters and a caption, None without such a layer."""
    first = next((layer for layer in graph.layers if layer.op.has_filters), None)
    if first is None:
        return None
    weight = network.params[_weight(first)]
    share, threshold = oriented_fraction(flat(weight))
    maps = range(min(MOSAICS, weight.shape[-1]))
    most = max(1, ACROSS // (max(weight.shape[2:4]) + 1))
    pictures = [mosaic(weight, map_, most) for map_ in maps]
    scale = max(1, ACROSS // 2 // max(pictures[0].shape[:2]))
    positions = _positions(first, weight.shape)
    return {
        "caption": f"{first.path}: {positions} {_excerpt(weight.shape, most)} Each filter is scaled by its "
        f"largest weight: grey is 0. Of all filters {share:.0%} keep to one orientation (resultant over "
        f"{threshold:.2f}, which 1% of random filters reach).",
        "urls": [data_url(picture, scale) for picture in pictures],
    }


def _positions(layer: Layer, shape: tuple[int, ...]) -> str:
    """Describe which positions share filters, for weights `[kr, kc, ...]`."""
    rows, columns = layer.sheet.height, layer.sheet.width
    if layer.op.position_weights:
        return f"{rows}x{columns} positions, each with filters of its own, drawn where they stand."
    if shape[:2] == (1, 1):
        return f"{rows}x{columns} positions, which share their filters."
    how = "in turn" if layer.op.shared_block == Size(1, 1) else f"in blocks of {layer.op.shared_block}"
    return f"{rows}x{columns} positions, which share {shape[0]}x{shape[1]} sets of filters {how}."


def _excerpt(shape: tuple[int, ...], most: int) -> str:
    """Describe the part shown of weights `[kr, kc, field rows, field columns, channels, maps]`."""
    rows, columns, channels, maps = *shape[:2], *shape[4:]
    shown = (min(rows, most), min(columns, most))
    parts = []
    if shown != (rows, columns):
        parts.append(f"{shown[0]}x{shown[1]} of {rows}x{columns} positions, evenly spaced")
    if maps > MOSAICS:
        parts.append(f"maps 0 to {MOSAICS - 1} of {maps}")
    if channels != 3 and channels > 1:
        parts.append(f"of {channels} channels the strongest of each filter")
    return f"Shown: {'; '.join(parts)}." if parts else "All are shown."


def _weight(layer: Layer) -> str:
    return next(parameter.name for parameter in layer.parameters if parameter.role == "weight")
