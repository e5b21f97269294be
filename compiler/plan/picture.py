"""A plan as a picture: every sheet with its tiles, their halos and homes, as SVG that a browser opens.

Colours are hosts. The dashed frame is what the tile in the middle holds after the exchange; a tile under the pointer
shows its own, and its worker. The homes are those of the first replica.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import NamedTuple

from lnet.compiler.core.layer import Layer
from lnet.compiler.core.shapes import Region, extents
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.partition import Piece

from .plan import Plan

SHEET = 200
"""Pixels of the longer side of the largest sheet."""
SMALLEST = 24
GAP = 28
CAPTION = 34
COLUMNS = 4

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #222 }
.small { font-size: 10px; fill: #666 }
.owned { stroke: #fff; stroke-width: .6 }
.held { fill: none; stroke: #111; stroke-width: 1.2; stroke-dasharray: 4 3; pointer-events: none }
.held.other { visibility: hidden }
.tile:hover .held.other { visibility: visible }
.tile:hover .owned { fill-opacity: 1 }
"""


class Scales(NamedTuple):
    """Pixels of a row, and of a column; the units of a dense layer are rows of one position."""

    rows: float
    columns: float


def to_svg(plan: Plan) -> str:
    """Return the picture of a plan; the hues of hosts are a golden angle apart."""
    layers = plan.graph.layers
    rows = -(-len(layers) // COLUMNS)
    width = COLUMNS * (SHEET + GAP) + GAP
    height = rows * (SHEET + GAP + CAPTION) + 60
    hosts = dict.fromkeys(sorted(worker.host for worker in plan.placement.cluster.workers))
    colours = {host: f"hsl({number * 137.508 % 360:.0f} 65% 55%)" for number, host in enumerate(hosts)}
    body = [line for number, layer in enumerate(layers) for line in _sheet(plan, number, layer, colours)]
    title = f"{plan.graph.name}: {plan.partition.tiles} tiles on {len(plan.workers):,} workers"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            f'<text x="{GAP}" y="26" style="font-size: 16px">{escape(title)}</text>',
            f'<text x="{GAP}" y="44" class="small">colours: hosts; dashed: what a tile holds after the exchange</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def _sheet(plan: Plan, number: int, layer: Layer, colours: Mapping[str, str]) -> Iterator[str]:
    row, column = divmod(number, COLUMNS)
    left, top = GAP + column * (SHEET + GAP), 60 + row * (SHEET + GAP + CAPTION)
    size = layer.sheet.size
    largest = max(max(la.sheet.height, la.sheet.width) for la in plan.graph.layers)
    scale = max(SHEET / largest, SMALLEST / max(size.rows, size.columns))
    exchanged = " (exchanged)" if layer.path in plan.partition.exchanged and plan.partition.count > 1 else ""
    yield f'<g transform="translate({left},{top})">'
    yield f'<text y="12">{escape(layer.path)} = {layer.op.kind}</text>'
    yield f'<text y="26" class="small">{extents(layer.sheet, layer.patch)}{exchanged}</text>'
    yield f'<g transform="translate(0,{CAPTION})">'
    in_line = layer.path in dealt(plan.graph, plan.partition.tiles).lines
    scales = Scales(scale / layer.sheet.values if in_line else scale, scale)
    for tile in range(plan.partition.count):
        yield from _tile(plan, tile, plan.partition.piece(tile, layer.path), scales, colours)
    yield "</g></g>"


def _tile(plan: Plan, tile: int, piece: Piece, scales: Scales, colours: Mapping[str, str]) -> Iterator[str]:
    worker = plan.placement.cluster.workers[plan.placement.tiles[0][tile]]
    tiles = plan.partition.tiles
    middle = (tiles.rows // 2) * tiles.columns + tiles.columns // 2
    owned, held = (_words(region) for region in (piece.owned, piece.held))
    yield '<g class="tile">'
    yield f"<title>tile {tile} on {escape(worker.name)}: owns {owned}, holds {held}</title>"
    yield _rectangle(piece.owned, scales, f'class="owned" fill="{colours[worker.host]}" fill-opacity=".55"')
    if piece.held != piece.owned:
        yield _rectangle(piece.held, scales, f'class="held{"" if tile == middle else " other"}"')
    yield "</g>"


def _rectangle(region: Region, scales: Scales, style: str) -> str:
    x, y = region.columns.start * scales.columns, region.rows.start * scales.rows
    width, height = region.columns.length * scales.columns, region.rows.length * scales.rows
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {style}/>'


def _words(region: Region) -> str:
    if not region.area:
        return "nothing"
    rows, columns = region.rows, region.columns
    return f"rows {rows.start}-{rows.stop - 1}, columns {columns.start}-{columns.stop - 1}"
