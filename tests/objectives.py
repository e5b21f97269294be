"""What tests know of each objective: the formula of its term in numpy, and how a line of a random network is drawn.

A formula gets the operands, `[batch, row, column, map]` in float64, the weights of the layer that it reads, and the labels.
"""

import numpy as np
from hypothesis import strategies as st


def smooth(weight: np.ndarray) -> float:
    rows, columns, maps = weight.shape[0], weight.shape[1], weight.shape[-1]
    terms = []
    for i in range(rows):
        for j in range(columns):
            for di, dj in ((0, 1), (1, 0)):
                if i + di < rows and j + dj < columns:
                    for m in range(maps):
                        a, b = weight[i, j, ..., m].ravel(), weight[i + di, j + dj, ..., m].ravel()
                        terms.append(1 - a @ b / np.sqrt((a @ a + 1e-8) * (b @ b + 1e-8)))
    return float(np.mean(terms))


def cross_entropy(operands, weight, labels):
    logits = operands[0].reshape(len(labels), -1)
    logs = logits - logits.max(1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
    return -logs[np.arange(len(labels)), labels].mean()


def one_vs_all(operands, weight, labels):
    logits = operands[0].reshape(len(labels), -1)
    target = np.eye(logits.shape[1])[labels]
    return (np.logaddexp(0, logits) - target * logits).sum() / len(labels)


FORMULAS = {
    "squared_error": lambda operands, weight, labels: (
        ((operands[0] - operands[1]) ** 2).sum() / len(operands[0])
    ),
    "l1": lambda operands, weight, labels: np.abs(operands[0]).sum() / len(operands[0]),
    "l2": lambda operands, weight, labels: (operands[0] ** 2).sum() / len(operands[0]),
    "total": lambda operands, weight, labels: operands[0].sum() / len(operands[0]),
    "smooth": lambda operands, weight, labels: smooth(weight),
    "cross_entropy": cross_entropy,
    "one_vs_all": one_vs_all,
}

# --- lines of random networks ----------------------------------------------------------------------------


def _read(kind):
    return lambda draw, of, above, locals_above, weight: f"{kind}(of = {of}, weight = {weight})"


def _rica(draw, of, above, locals_above, weight):
    if not locals_above:
        return f"l2(of = {of}, weight = {weight})"
    tied = draw(st.sampled_from(["true", "false"]))
    return f"rica(encode = {locals_above[-1]}, sparsity = 0.3, tied = {tied})"


def _smooth(draw, of, above, locals_above, weight):
    if not locals_above:
        return f"l2(of = {of}, weight = {weight})"
    return f"smooth(of = {draw(st.sampled_from(locals_above))}, weight = {weight})"


def _squared_error(draw, of, above, locals_above, weight):
    return f"squared_error(of = {of}, target = {draw(st.sampled_from(above))}, weight = {weight})"


LINES = {
    "rica": _rica,
    "squared_error": _squared_error,
    "l1": _read("l1"),
    "l2": _read("l2"),
    "smooth": _smooth,
}
"""Objectives that need labels read a vector, and have tests of their own."""
