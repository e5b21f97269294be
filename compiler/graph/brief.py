"""A network as a short table: what plans and networks show of themselves in notebooks."""

from __future__ import annotations

from lnet.compiler.text_table import TextTable

from .graph import Graph
from .receptive_field import receptive_field


def layers_table(graph: Graph) -> TextTable:
    """Return the layers that the file names: kind, value, the pixels that a unit sees, and parameters."""
    rows = []
    for layer in graph.visible:
        seen = receptive_field(graph, layer.path)
        count = sum(parameter.size for parameter in layer.parameters)
        sees = str(seen) if seen.rows else ""
        rows.append((layer.path, layer.op.kind, str(layer.sheet), sees, f"{count:,}" if count else ""))
    return TextTable(("layer", "kind", "value"), ("sees", "parameters"), tuple(rows))
