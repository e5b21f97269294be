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
COLOURS = {
    "input": "#8a8f98",
    "local": "#d9822b",
    "dense": "#d9822b",
    "decode": "#c05c7e",
    "lcn": "#4a90a4",
    "l2pool": "#6a9e58",
    "maxpool": "#6a9e58",
    "avgpool": "#6a9e58",
}
PLAIN = "#7d7aa8"


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
    repeated = _repeated(graph)
    left_out = {path for others in repeated.values() for path in others}
    drawn = [layer for layer in graph.visible if not any(_within(layer.path, path) for path in left_out)]
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
    for layer in drawn:
        body += _edges(graph, layer, places)
    for layer in drawn:
        body += _sheet(graph, layer, places[layer.path])
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


def _repeated(graph: Graph) -> dict[str, list[str]]:
    """Return the repeated stage instances, by the first of each series."""
    found: dict[str, list[str]] = {}
    siblings: dict[str, list[str]] = {}
    for path, _ in graph.stages:
        siblings.setdefault(path.rpartition(".")[0], []).append(path)
    for paths in siblings.values():
        for _, alike in groupby(paths, lambda path: _form(graph, path)):
            first, *others = alike
            if others:
                found[first] = others
    return found


def _form(graph: Graph, stage: str) -> tuple[object, ...]:
    """Return the structure of a stage instance: equal for two that differ in name alone."""

    def own(path: str) -> str:
        return path.removeprefix(stage) if _within(path, stage) else f" {path}"

    layers = [layer for layer in graph.visible if _within(layer.path, stage)]
    return (
        tuple(
            (own(la.path), la.op.renamed(own), tuple(own(graph.layer(path).path) for path in la.reads))
            for la in layers
        ),
        tuple((own(o.path), o.term, o.weight) for o in graph.objectives if _within(o.path, stage)),
    )


def _within(path: str, stage: str) -> bool:
    return path.startswith(f"{stage}.")


def _frames(graph: Graph, drawn: Sequence[Layer], repeated: dict[str, list[str]]) -> Iterator[Frame]:
    """Yield a frame for each run of layers of one stage instance; objectives are below the last run of their instance."""
    notes = _objectives(graph)
    for first, others in repeated.items():
        notes.setdefault(first, []).append(f"{len(others)} more alike, to {others[-1]}")
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
    """Return the objectives by block, as written in the file."""
    found: dict[str, list[str]] = {}
    for path in dict.fromkeys(objective.part_of for objective in graph.objectives):
        terms = [o for o in graph.objectives if o.part_of == path]
        inside = ", ".join(o.path.removeprefix(f"{path}.") for o in terms if o.path != path)
        name = path.rpartition(".")[2]
        found.setdefault(graph.block(path), []).append(f"{name}: {inside or terms[0].term.kind}")
    return found


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


def _edges(graph: Graph, layer: Layer, places: dict[str, Place]) -> Iterator[str]:
    """Draw the edges to a layer: lines from layers of its own line and the end of the one above, names of others."""
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
        elif _follows(source, to, places):
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


def _follows(source: Place, to: Place, places: dict[str, Place]) -> bool:
    """Whether a layer is the first of its line and another the last of the one above."""
    last = max(place.x for place in places.values() if place.line == source.line)
    return to.line == source.line + 1 and source.x == last and to.x < STEP


def _short(name: str) -> str:
    most = int(STEP / LETTER) - 5
    return name if len(name) <= most else "…" + name[-most + 1 :]


def _sheet(graph: Graph, layer: Layer, place: Place) -> Iterator[str]:
    """Draw a sheet in proportion to its extents, with maps behind one another."""
    largest = max(max(la.sheet.height, la.sheet.width) for la in graph.visible)
    width = max(SMALLEST, LARGEST * layer.sheet.width / largest)
    height = max(SMALLEST, LARGEST * layer.sheet.height / largest)
    x, y = place.x, place.y
    colour = COLOURS.get(layer.op.kind, PLAIN)
    cost = layer_cost(graph, layer)
    yield f"<g><title>{escape(layer.path)}: one neuron sees {cost.receptive_field} pixels</title>"
    for behind in range(min(layer.sheet.maps, 4) - 1, -1, -1):
        shift = 4 * behind
        yield (
            f'<rect class="sheet" x="{x - width / 2 + shift:.1f}" y="{y - height / 2 - shift:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" fill="{colour}" rx="2"/>'
        )
    name = layer.path.removeprefix(f"{graph.block(layer.path)}.")
    yield f'<text class="name" x="{x}" y="{y + 56}">{escape(name)}</text>'
    field = f" {cost.field}" if cost.field is not None else ""
    yield f'<text class="kind" x="{x}" y="{y + 71}">{layer.op.kind}{field}</text>'
    yield f'<text class="kind" x="{x}" y="{y + 86}">{extents(layer.sheet, layer.patch)}</text></g>'
