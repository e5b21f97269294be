"""docs/language.md's formulas in numpy, float64, batch first: the oracle for values, losses and gradients."""

from __future__ import annotations

import numpy as np
import objectives as terms
import ops

from lnet.compiler.graph.graph import Graph


def values(
    graph: Graph, params: dict, images: np.ndarray, targets: dict | None = None
) -> dict[str, np.ndarray]:
    """The value of every layer, `[batch, row, column, map]`, and of targets that are given."""
    result: dict[str, np.ndarray] = {graph.input.path: np.asarray(images, float)}
    result |= {path: np.asarray(value, float) for path, value in (targets or {}).items()}
    for layer in graph.computed[1:]:
        roles = {p.role: np.asarray(params[p.name], float) for p in layer.parameters}
        operands = [result[graph.layer(path).path] for path in layer.reads]
        result[layer.path] = ops.FORMULAS[layer.op.kind](layer.op, operands, roles)
    return result


def loss(
    graph: Graph,
    params: dict,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    objectives=None,
    targets: dict | None = None,
) -> float:
    """The sum of all terms of the loss, or of some."""
    found = values(graph, params, images, targets)
    total = 0.0
    for objective in graph.objectives if objectives is None else objectives:
        layers = [graph.layer(path) for path in objective.reads]
        seen, parameters = set(), []
        for layer in layers:
            own = [p for p in layer.parameters if p.name not in seen]
            parameters.append({p.role: np.asarray(params[p.name], float) for p in own})
            seen.update(p.name for p in own)
        formula = terms.FORMULAS[objective.term.kind]
        value = formula(objective.term, [found[layer.path] for layer in layers], parameters, labels)
        total += objective.weight * float(value)
    return total


STEP = 1e-5


def slope(graph: Graph, params: dict, direction: dict, *given) -> tuple[float, float]:
    """The slope of the loss in a direction, by differences, and how far kinks near the parameters may move it."""

    def at(sign: int) -> float:
        moved = {n: np.asarray(p, float) + sign * STEP * direction.get(n, 0) for n, p in params.items()}
        return loss(graph, moved, *given)

    below, here, above = at(-1), at(0), at(1)
    return (above - below) / (2 * STEP), abs(above - 2 * here + below) / STEP
