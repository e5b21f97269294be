"""Compatibility with version 0.1, whose max pools counted padding as zeros.

Plans and runs of version 0.1 keep their pooling, which `load_plan` reads into their ops. A file that begins with
`lnet 1` is of that version: it gets a warning where its values may differ now.
"""

from __future__ import annotations

from dataclasses import replace

from lnet.compiler.core.layer import Layer
from lnet.compiler.graph.graph import Graph
from lnet.compiler.ops import MaxPool
from lnet.dsl.diagnostics import Collector, Diagnostic


def keep_pooling(graph: Graph, before: Graph) -> Graph:
    """Return a recompiled graph with the pooling of layers of the same name in `before`."""
    counted = {layer.path for layer in before.layers if isinstance(layer.op, MaxPool) and layer.op.zeros}
    return replace(
        graph, layers=tuple(_counting(layer) if layer.path in counted else layer for layer in graph.layers)
    )


def _counting(layer: Layer) -> Layer:
    return replace(layer, op=replace(layer.op, zeros=True)) if isinstance(layer.op, MaxPool) else layer


def warn_changed(graph: Graph, collector: Collector) -> None:
    """Warn of max pools whose values differ from version 0.1: those with padding and possibly negative inputs."""
    positive = _never_negative(graph)
    for layer in graph.layers:
        if _ignores_padding(layer) and not positive.issuperset(_operands(graph, layer)):
            collector.add(
                Diagnostic(
                    "W608",
                    f"'{layer.path}' may have other values than in version 0.1: 'maxpool' now ignores padding, and then "
                    "counted it as zeros",
                    layer.span,
                    hints=("leave out the first line, 'lnet 1', if the file means what it says today",),
                    item=layer.path,
                )
            )


def _ignores_padding(layer: Layer) -> bool:
    if not isinstance(layer.op, MaxPool) or layer.op.zeros:
        return False
    rows, columns = layer.op.window.rows, layer.op.window.columns
    return max(rows.before, rows.after, columns.before, columns.after) > 0


def _never_negative(graph: Graph) -> set[str]:
    """Return the layers whose values are known to be at least zero."""
    found: set[str] = set()
    for layer in graph.layers:
        data = graph.training.data
        as_they_are = data is not None and data.normalize == "none"
        operands = found.issuperset(_operands(graph, layer)) if layer.reads else as_they_are
        found.update({layer.path} if layer.op.nonnegative(operands) else ())
    return found


def _operands(graph: Graph, layer: Layer) -> set[str]:
    return {graph.layer(path).path for path in layer.reads}
