"""A network as a picture: its layers as sheets from left to right, in lines as a text, framed by stage.

V1                        V2            the first line
[] -> [] -> [] ------------ [] ->
learn: rica
V2
-> [] -> []                             goes on below
learn: rica
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from textwrap import wrap

from lnet.compiler.core.layer import Layer
from lnet.compiler.core.shapes import extents
from lnet.compiler.cut.cost import layer_cost
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import Objective

from .alike import alike, around, family_of

STEP = 98
"""Pixels from one layer to the next."""
ACROSS = 10
"""Layers in a line: as many as the page is wide, on a screen and in print."""
WIDTH = STEP * ACROSS + 20
LARGEST, SMALLEST = 68, 9
MIDDLE, TEXT, LINE = 118, 226, 15
"""Down from the top of a line: the middle of sheets, the first objective, from one objective to the next."""
LETTER = 6.3
"""Pixels of a letter, about."""
INPUT, WEIGHTS, WRITES, FIELD, PLAIN = "#8a8f98", "#d9822b", "#c05c7e", "#6a9e58", "#7d7aa8"
"""Colours of the input, of layers that write fields, of others with weights, of others with fields, and of the rest."""


@dataclass(frozen=True)
class Frame:
    """Layers side by side that stand in one stage instance; `notes`: its objectives, in lines that fit below them."""

    block: str
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where a layer is drawn: the middle of its sheet, and its line of the picture."""

    x: float
    y: float
    line: int


def diagram(graph: Graph) -> str:
    """Return the picture as SVG."""
    repeated = alike(graph)
    left_out = {path for others in repeated.values() for path in others}
    drawn = [layer for layer in graph.visible if left_out.isdisjoint(around(layer.path))]
    lines = list(_lines(_frames(graph, drawn, repeated)))
    tops = [0]
    for line in lines:
        tops.append(tops[-1] + TEXT + 6 + LINE * max((len(frame.notes) for frame in line), default=0))
    places = _places(lines, tops)
    body = [
        part
        for line, top, bottom in zip(lines, tops, tops[1:], strict=False)
        for part in _grounds(line, top, bottom)
    ]
    ends = {place.line: place for place in places.values()}
    for layer in drawn:
        body += _edges(graph, layer, places, ends)
    largest = max(max(layer.sheet.height, layer.sheet.width) for layer in graph.visible)
    for layer in drawn:
        body += _sheet(graph, layer, places[layer.path], LARGEST / largest)
    width = WIDTH if len(lines) > 1 else 20 + STEP * sum(len(frame.layers) for frame in lines[0])
    return "\n".join(
        [
            f'<svg class="diagram" width="{width}" height="{tops[-1]}" viewBox="0 0 {width} {tops[-1]}" role="img">',
            f"<title>The layers of {escape(graph.name)}</title>",
            *body,
            "</svg>",
        ]
    )


# --- the layout ----------------------------------------------------------------------------------------------------


def _frames(graph: Graph, drawn: Sequence[Layer], repeated: dict[str, list[str]]) -> Iterator[Frame]:
    """Yield a frame for each run of layers of one stage instance; objectives are below the last run of their instance."""
    notes = _objectives(graph)
    instances = {path for path, _ in graph.stages}
    for first, others in repeated.items():
        more = f"{len(others):,} more alike, to {others[-1]}"
        if first in instances:
            notes.setdefault(first, []).append(more)
        else:
            notes.setdefault(graph.block(first), []).append(f"{_name(graph, first)}: {more}")
    runs: list[tuple[str, list[Layer]]] = []
    for layer in drawn:
        block = graph.block(layer.path)
        if not runs or runs[-1][0] != block or len(runs[-1][1]) == ACROSS:
            runs.append((block, []))
        runs[-1][1].append(layer)
    left = Counter(block for block, _ in runs)
    for block, layers in runs:
        left[block] -= 1
        wide = int((STEP * len(layers) - 24) / LETTER)
        texts = () if left[block] else notes.get(block, ())
        yield Frame(block, tuple(layers), tuple(part for text in texts for part in wrap(text, wide)))


def _lines(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Yield the frames of each line."""
    line: list[Frame] = []
    for frame in frames:
        if sum(len(other.layers) for other in line) + len(frame.layers) > ACROSS:
            yield line
            line = []
        line.append(frame)
    yield line


def _places(lines: Sequence[Sequence[Frame]], tops: Sequence[int]) -> dict[str, Place]:
    return {
        layer.path: Place(10 + column * STEP + (STEP - 8) / 2, tops[number] + MIDDLE, number)
        for number, line in enumerate(lines)
        for column, layer in enumerate(layer for frame in line for layer in frame.layers)
    }


def _objectives(graph: Graph) -> dict[str, list[str]]:
    """Return the objectives by block, as written in the file; those of a family that are of one kind together."""
    parts: dict[str, list[Objective]] = {}
    for objective in graph.objectives:
        parts.setdefault(objective.part_of, []).append(objective)
    texts = {path: _terms(path, terms) for path, terms in parts.items()}
    found: dict[str, list[str]] = {}
    for _, series in groupby(parts, lambda path: (family_of(path) or path, texts[path])):
        first, *others = series
        name = _name(graph, first) + (f" to {_name(graph, others[-1])}" if others else "")
        found.setdefault(graph.block(first), []).append(f"{name}: {texts[first]}")
    return found


def _terms(path: str, terms: Sequence[Objective]) -> str:
    """Return the parts of an objective, or its kind if it has none."""
    return ", ".join(o.path.removeprefix(f"{path}.") for o in terms if o.path != path) or terms[0].term.kind


def _name(graph: Graph, path: str) -> str:
    """Return the name of an item in its block."""
    return path.removeprefix(f"{graph.block(path)}.")


# --- what is drawn -------------------------------------------------------------------------------------------------


def _grounds(line: Sequence[Frame], top: int, bottom: int) -> Iterator[str]:
    """Draw the frames of a line, with their names and objectives."""
    start = 0
    for frame in line:
        x, width = 10 + start * STEP, len(frame.layers) * STEP
        if frame.block:
            yield f'<rect class="stage" x="{x}" y="{top + 8}" width="{width - 8}" height="{bottom - top - 12}" rx="8"/>'
            yield f'<text class="stage-name" x="{x + 10}" y="{top + 28}">{escape(frame.block)}</text>'
        for number, text in enumerate(frame.notes):
            yield f'<text class="objective" x="{x + 10}" y="{top + TEXT + LINE * number}">{escape(text)}</text>'
        start += len(frame.layers)


def _edges(graph: Graph, layer: Layer, places: dict[str, Place], ends: dict[int, Place]) -> Iterator[str]:
    """Draw the edges to a layer: lines from layers of its own line and the end of the one above, names of others.

    `ends`: the last place of each line.
    """
    to, further = places[layer.path], []
    for path in layer.reads:
        source = places.get(graph.layer(path).path)
        if source is None:
            further.append(graph.layer(path).path)
            continue
        apart = (to.x - source.x) / STEP
        if source.line == to.line and apart == 1:
            yield f'<path class="edge" d="M{source.x} {source.y} H{to.x}"/>'
        elif source.line == to.line:
            y = to.y - 58 - 6 * apart
            yield f'<path class="edge" d="M{source.x} {source.y} C{source.x} {y} {to.x} {y} {to.x} {to.y}"/>'
        elif source is ends[source.line] and to.line == source.line + 1 and to.x < STEP:
            yield f'<path class="edge" d="M{source.x} {source.y} H{WIDTH - 4}"/>'
            yield f'<path class="edge" d="M4 {to.y} H{to.x}"/>'
        else:
            further.append(graph.layer(path).path)
    if further:
        text = further[0] if len(further) == 1 else f"{len(further)} layers"
        yield f'<path class="edge" d="M{to.x} {to.y - 58} V{to.y}"/>'
        yield (
            f'<text class="from" x="{to.x}" y="{to.y - 64}">from {escape(_short(text))}'
            f"<title>{escape(', '.join(further))}</title></text>"
        )


def _short(name: str) -> str:
    most = int(STEP / LETTER) - 5
    return name if len(name) <= most else "…" + name[-most + 1 :]


def _colour(layer: Layer) -> str:
    if not layer.reads:
        return INPUT
    if layer.op.scatters:
        return WRITES
    if layer.has_weights:
        return WEIGHTS
    return PLAIN if layer.op.field_size is None else FIELD


def _sheet(graph: Graph, layer: Layer, place: Place, scale: float) -> Iterator[str]:
    """Draw a sheet in proportion to its extents, with maps behind one another; `scale` is in pixels a position."""
    width = max(SMALLEST, scale * layer.sheet.width)
    height = max(SMALLEST, scale * layer.sheet.height)
    x, y = place.x, place.y
    colour = _colour(layer)
    cost = layer_cost(graph, layer)
    yield f"<g><title>{escape(layer.path)}: one neuron sees {cost.receptive_field} pixels</title>"
    for behind in range(min(layer.sheet.maps, 4) - 1, -1, -1):
        shift = 4 * behind
        yield (
            f'<rect class="sheet" x="{x - width / 2 + shift:.1f}" y="{y - height / 2 - shift:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" fill="{colour}" rx="2"/>'
        )
    yield f'<text class="name" x="{x}" y="{y + 56}">{escape(_name(graph, layer.path))}</text>'
    field = f" {cost.field}" if cost.field is not None else ""
    yield f'<text class="kind" x="{x}" y="{y + 71}">{layer.op.kind}{field}</text>'
    yield f'<text class="kind" x="{x}" y="{y + 86}">{extents(layer.sheet, layer.patch)}</text></g>'
