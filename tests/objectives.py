"""What tests know of each objective: the formula of its term in numpy, and how a line of a random network is drawn.

A formula gets the term, the operands, `[batch, row, column, map]` in float64, their parameters by role, each parameter
once, and the labels.
"""

import numpy as np
from hypothesis import strategies as st


def sheets(roles, term):
    """Yield the vectors of a sheet of units, by row and column: all maps in their patches, or each map alone."""
    arrays = [roles["weight"], roles["bias"]] if term.bias else [roles["weight"]]
    rows, columns, maps = *arrays[0].shape[:2], arrays[0].shape[-1]

    def vector(i, j, m):
        return np.concatenate([array[i, j, ..., m].ravel() for array in arrays])

    if term.patch is None:
        for m in range(maps):
            yield [[vector(i, j, m) for j in range(columns)] for i in range(rows)]
        return
    down, across = term.patch.rows, term.patch.columns
    yield [
        [vector(i // down, j // across, i % down * across + j % across) for j in range(columns * across)]
        for i in range(rows * down)
    ]


def smooth(term, operands, parameters, labels):
    offsets = ((0, 1), (1, 0)) if term.neighbours == 4 else ((0, 1), (1, 0), (1, 1), (1, -1))
    terms = []
    for sheet in sheets(parameters[0], term):
        rows, columns = len(sheet), len(sheet[0])
        for i in range(rows):
            for j in range(columns):
                for down, right in offsets:
                    k, n = i + down, j + right
                    k = k % rows if term.wrap and rows > 2 else k
                    n = n % columns if term.wrap and columns > 2 else n
                    if 0 <= k < rows and 0 <= n < columns:
                        a, b = sheet[i][j], sheet[k][n]
                        terms.append(1 - a @ b / np.sqrt((a @ a + 1e-8) * (b @ b + 1e-8)))
    return float(np.mean(terms))


def cross_entropy(term, operands, parameters, labels):
    logits = operands[0].reshape(len(labels), -1)
    logs = logits - logits.max(1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
    return -logs[np.arange(len(labels)), labels].mean()


def one_vs_all(term, operands, parameters, labels):
    logits = operands[0].reshape(len(labels), -1)
    target = np.eye(logits.shape[1])[labels]
    return (np.logaddexp(0, logits) - target * logits).sum() / len(labels)


def cosine_error(term, operands, parameters, labels):
    terms = []
    for value, target in zip(*operands, strict=True):
        x, t = value.ravel(), target.ravel()
        terms.append(1 - x @ t / np.sqrt((x @ x + 1e-8) * (t @ t + 1e-8)))
    return np.mean(terms)


def contrast(term, operands, parameters, labels):
    rows = operands[0].reshape(len(operands[0]), -1)
    z = [row / np.sqrt(row @ row + 1e-8) for row in rows]
    losses = []
    for i in range(len(z)):
        mine = i + 1 if i % 2 == 0 else i - 1
        others = sum(np.exp(z[i] @ z[j] / term.temperature) for j in range(len(z)) if j != i)
        losses.append(-np.log(np.exp(z[i] @ z[mine] / term.temperature) / others))
    return np.mean(losses)


def over_weights(function, parameters):
    return sum(function(roles["weight"]).sum() for roles in parameters if "weight" in roles)


FORMULAS = {
    "squared_error": lambda term, operands, parameters, labels: (
        ((operands[0] - operands[1]) ** 2).sum() / len(operands[0])
    ),
    "mean_squared_error": lambda term, operands, parameters, labels: (
        (operands[0] - operands[1]) ** 2
    ).mean(),
    "cosine_error": cosine_error,
    "l1": lambda term, operands, parameters, labels: np.abs(operands[0]).sum() / len(operands[0]),
    "l2": lambda term, operands, parameters, labels: (operands[0] ** 2).sum() / len(operands[0]),
    "total": lambda term, operands, parameters, labels: operands[0].sum() / len(operands[0]),
    "smooth": smooth,
    "weight_l2": lambda term, operands, parameters, labels: over_weights(np.square, parameters),
    "weight_l1": lambda term, operands, parameters, labels: over_weights(np.abs, parameters),
    "cross_entropy": cross_entropy,
    "one_vs_all": one_vs_all,
    "contrast": contrast,
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
    neighbours, wrap = draw(st.sampled_from([4, 8])), draw(st.sampled_from(["true", "false"]))
    of, bias = draw(st.sampled_from(locals_above)), draw(st.sampled_from(["true", "false"]))
    return f"smooth(of = {of}, neighbours = {neighbours}, wrap = {wrap}, bias = {bias}, weight = {weight})"


def _error(kind):
    return lambda draw, of, above, locals_above, weight: (
        f"{kind}(of = {of}, target = {draw(st.sampled_from(above))}, weight = {weight})"
    )


def _weight_norm(kind):
    def line(draw, of, above, locals_above, weight):
        if not locals_above:
            return f"l2(of = {of}, weight = {weight})"
        layers = draw(st.lists(st.sampled_from(locals_above), min_size=1))
        return f"{kind}(of = [{', '.join(layers)}], weight = {weight})"

    return line


LINES = {
    "rica": _rica,
    "squared_error": _error("squared_error"),
    "mean_squared_error": _error("mean_squared_error"),
    "cosine_error": _error("cosine_error"),
    "l1": _read("l1"),
    "l2": _read("l2"),
    "smooth": _smooth,
    "weight_l2": _weight_norm("weight_l2"),
    "weight_l1": _weight_norm("weight_l1"),
}
"""Objectives that need labels or compare views read a vector, and have tests of their own."""
