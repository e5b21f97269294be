"""What version 0.1 computed otherwise: its max pools counted padding as zeros.

Plans and runs of that time keep their pooling, which `load_plan` reads into their ops. A file that says by its first line
`lnet 1` that it is as old is warned where a value of it may be another one now.
"""

from __future__ import annotations

from dataclasses import replace

from lnet.compiler.core.layer import Layer
from lnet.compiler.graph.graph import Graph
from lnet.compiler.ops import MaxPool
from lnet.dsl.diagnostics import Collector, Diagnostic


def keep_pooling(graph: Graph, before: Graph) -> Graph:
    """Return a graph that is compiled anew with the pooling that layers of the same name had."""
    counted = {layer.path for layer in before.layers if isinstance(layer.op, MaxPool) and layer.op.zeros}
    return replace(
        graph, layers=tuple(_counting(layer) if layer.path in counted else layer for layer in graph.layers)
    )


def _counting(layer: Layer) -> Layer:
    return replace(layer, op=replace(layer.op, zeros=True)) if isinstance(layer.op, MaxPool) else layer


def warn_changed(graph: Graph, collector: Collector) -> None:
    """Warn of max pools whose values are other ones than in version 0.1: of those with padding and negative values."""
    positive = _never_negative(graph)
    for layer in graph.layers:
        if _ignores_padding(layer) and not positive.issuperset(_operands(graph, layer)):
            collector.add(
                Diagnostic(
                    "W608",
                    f"'{layer.path}' may have other values than in version 0.1: 'maxpool' ignores padding, and counted "
                    "it as zeros",
                    layer.span,
                    hints=("leave out the first line, 'lnet 1', if the file means what it says today",),
                )
            )


def _ignores_padding(layer: Layer) -> bool:
    if not isinstance(layer.op, MaxPool) or layer.op.zeros:
        return False
    rows, columns = layer.op.window.rows, layer.op.window.columns
    return max(rows.before, rows.after, columns.before, columns.after) > 0


def _never_negative(graph: Graph) -> set[str]:
    """Return the layers whose values are at least zero, as far as their kinds say so."""
    found: set[str] = set()
    for layer in graph.layers:
        data = graph.training.data
        as_they_are = data is not None and data.normalize == "none"
        operands = found.issuperset(_operands(graph, layer)) if layer.reads else as_they_are
        found.update({layer.path} if layer.op.nonnegative(operands) else ())
    return found


def _operands(graph: Graph, layer: Layer) -> set[str]:
    return {graph.layer(path).path for path in layer.reads}
