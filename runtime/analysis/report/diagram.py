"""A network as a picture: its layers as sheets from left to right, framed by stage, with objectives below."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from lnet.compiler.cost import layer_cost
from lnet.compiler.graph import Graph
from lnet.compiler.layer import Layer

STEP = 98
"""Pixels from one layer to the next."""
LARGEST, SMALLEST = 68, 9
MIDDLE = 118
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


def diagram(graph: Graph) -> str:
    """Return the picture as SVG."""
    layers = graph.visible
    width = STEP * len(layers) + 20
    objectives = _objectives(graph)
    lines = max((len(names) for names in objectives.values()), default=0)
    height = 232 + 15 * lines
    column = {layer.path: number for number, layer in enumerate(layers)}
    body = [*_frames(graph, layers, height, objectives)]
    for number, layer in enumerate(layers):
        body += _edges(graph, layer, number, column)
        body += _sheet(graph, layer, number)
    return "\n".join(
        [
            f'<svg class="diagram" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
            f"<title>The layers of {escape(graph.name)}</title>",
            *body,
            "</svg>",
        ]
    )


def _objectives(graph: Graph) -> dict[str, list[str]]:
    """Return the objectives by the block that they stand in, as people wrote them."""
    found: dict[str, list[str]] = {}
    for path in dict.fromkeys(objective.part_of for objective in graph.objectives):
        terms = [o for o in graph.objectives if o.part_of == path]
        inside = ", ".join(o.path.removeprefix(f"{path}.") for o in terms if o.path != path)
        name = path.rpartition(".")[2]
        found.setdefault(graph.block(path), []).append(f"{name}: {inside or terms[0].term.kind}")
    return found


def _frames(
    graph: Graph, layers: tuple[Layer, ...], height: int, objectives: dict[str, list[str]]
) -> Iterator[str]:
    """Frame the runs of layers that stand in one stage instance."""
    start = 0
    for number in range(1, len(layers) + 1):
        block = graph.block(layers[start].path)
        if number < len(layers) and graph.block(layers[number].path) == block:
            continue
        x, width = 10 + start * STEP, (number - start) * STEP
        if block:
            yield f'<rect class="stage" x="{x}" y="8" width="{width - 8}" height="{height - 16}" rx="8"/>'
            yield f'<text class="stage-name" x="{x + 10}" y="28">{escape(block)}</text>'
        if block or number == len(layers):
            for line, text in enumerate(objectives.get(block, ())):
                yield f'<text class="objective" x="{x + 10}" y="{226 + 15 * line}">{escape(text)}</text>'
        start = number


def _edges(graph: Graph, layer: Layer, number: int, column: dict[str, int]) -> Iterator[str]:
    for path in layer.reads:
        source = column[graph.layer(path).path]
        x0, x1 = _centre(source), _centre(number)
        if source == number - 1:
            yield f'<path class="edge" d="M{x0} {MIDDLE} H{x1}"/>'
        else:
            y = MIDDLE - 58 - 6 * (number - source)
            yield f'<path class="edge" d="M{x0} {MIDDLE} C{x0} {y} {x1} {y} {x1} {MIDDLE}"/>'


def _sheet(graph: Graph, layer: Layer, number: int) -> Iterator[str]:
    """Draw a sheet in proportion to its extents, with maps behind one another."""
    largest = max(max(la.sheet.height, la.sheet.width) for la in graph.visible)
    width = max(SMALLEST, LARGEST * layer.sheet.width / largest)
    height = max(SMALLEST, LARGEST * layer.sheet.height / largest)
    x, y = _centre(number), MIDDLE
    colour = COLOURS.get(layer.op.kind, PLAIN)
    cost = layer_cost(graph, layer)
    yield f"<g><title>{escape(layer.path)}: one neuron sees {cost.receptive_field} pixels</title>"
    for behind in range(min(layer.sheet.maps, 4) - 1, -1, -1):
        shift = 4 * behind
        yield (
            f'<rect x="{x - width / 2 + shift:.1f}" y="{y - height / 2 - shift:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" fill="{colour}" stroke="#fff" rx="2"/>'
        )
    name = layer.path.removeprefix(f"{graph.block(layer.path)}.")
    yield f'<text class="name" x="{x}" y="174">{escape(name)}</text>'
    field = f" {cost.field}" if cost.field is not None else ""
    yield f'<text class="kind" x="{x}" y="189">{layer.op.kind}{field}</text>'
    yield f'<text class="kind" x="{x}" y="204">{layer.sheet}</text></g>'


def _centre(number: int) -> float:
    return 10 + number * STEP + (STEP - 8) / 2
