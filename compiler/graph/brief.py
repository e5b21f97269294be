"""A network as a short table: what plans and networks show of themselves in notebooks."""

from __future__ import annotations

from lnet.compiler.text_table import TextTable

from .graph import Graph
from .receptive_field import receptive_field


def layers_table(graph: Graph) -> TextTable:
    """Return all layers, decoders of objectives too: kind, value, the pixels that a unit sees, and parameters."""
    rows, counted = list[tuple[str, ...]](), set[str]()
    for layer in graph.layers:
        seen = receptive_field(graph, layer.path)
        count = sum(parameter.size for parameter in layer.parameters if parameter.name not in counted)
        counted |= {parameter.name for parameter in layer.parameters}  # a decoder may share its encoder's
        sees = str(seen) if seen.rows else ""
        rows.append((layer.path, layer.op.kind, str(layer.sheet), sees, f"{count:,}" if count else ""))
    return TextTable(("layer", "kind", "value"), ("sees", "parameters"), tuple(rows))
