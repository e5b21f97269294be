"""What a run validates, and by which figure it keeps its best parameters."""

from __future__ import annotations

from lnet.compiler.graph.graph import Graph
from lnet.dsl import nodes

from .expressions import Evaluator


def check_validated(graph: Graph, train: nodes.Train | None, evaluator: Evaluator) -> None:
    """Report a validation that would compute nothing, and an accuracy of networks that have none."""
    validated = graph.validated
    if train is None or validated is None:
        return
    spans = {s.name.text: s.value.span for s in train.settings if isinstance(s, nodes.Setting)}
    if graph.objectives and not validated.objectives:
        first = graph.objectives[0]
        evaluator.report(
            "E520",
            "a validation computes objectives of single images, and the network has none",
            spans["validation"],
            notes=(f"'{first.path}' {'reads weights' if first.term.reads_weights else 'compares views'}",),
            hints=("leave 'validation' out, or add an objective that reads the value of a layer",),
        )
    elif graph.training.keep_best == "accuracy" and not any(o.term.needs_labels for o in graph.objectives):
        evaluator.report(
            "E520",
            "the accuracy needs an objective that reads labels, and the network has none",
            spans["keep_best"],
            hints=("write 'keep_best = loss', or add an objective such as 'learn: cross_entropy()'",),
        )
