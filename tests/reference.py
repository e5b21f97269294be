"""docs/language.md's formulas in numpy, float64, batch first: the oracle for values, losses and gradients.

Slow on purpose and written from the specification's text, not from the kernels: plain loops over positions.
"""

from __future__ import annotations

import numpy as np

from lnet.compiler.core.shapes import Size, Window
from lnet.compiler.graph.graph import Graph


def values(graph: Graph, params: dict, images: np.ndarray) -> dict[str, np.ndarray]:
    """The value of every layer, `[batch, row, column, map]`."""
    result: dict[str, np.ndarray] = {}
    for layer in graph.layers:
        op = layer.op
        roles = {p.role: np.asarray(params[p.name], float) for p in layer.parameters}
        operands = [result[graph.layer(path).path] for path in layer.reads]
        match op.kind:
            case "input":
                value = np.asarray(images, float)
            case "local":
                value = local(operands[0], roles["weight"], op.window)
                if op.bias:
                    value = value + bias(roles["bias"], value.shape[1:3])
                value = activate(op.act, value)
            case "decode":
                value = decode(operands[0], roles["weight"], op.window)
            case "l2pool":
                value = pool(operands[0], op.window, lambda p, eps=op.eps: np.sqrt(eps + (p**2).sum((1, 2))))
            case "maxpool":
                value = pool(operands[0], op.window, lambda p: p.max((1, 2)), 0.0 if op.zeros else -np.inf)
            case "avgpool":
                value = pool(operands[0], op.window, lambda p: p.mean((1, 2)))
            case "lcn":
                value = lcn(operands[0], op.field, op.sigma, op.across, op.floor)
                rows, columns = op.within.rows, op.within.columns
                value = value[:, rows.start : rows.stop, columns.start : columns.stop]
            case "pointwise":
                value = activate(op.function, operands[0])
            case "dense":
                value = operands[0].reshape(len(images), -1) @ roles["weight"]
                if op.bias:
                    value = value + roles["bias"]
                value = activate(op.act, value)[:, None, None, :]
            case "crop":
                r, c = (
                    (operands[0].shape[1] - op.size.rows) // 2,
                    (operands[0].shape[2] - op.size.columns) // 2,
                )
                value = operands[0][:, r : r + op.size.rows, c : c + op.size.columns]
            case "concat":
                value = np.concatenate(operands, axis=3)
            case "add":
                value = np.sum(operands, axis=0)
            case kind:
                raise AssertionError(f"'{kind}' has no formula here")
        result[layer.path] = value
    return result


def padded(x: np.ndarray, window: Window, value: float) -> np.ndarray:
    rows, columns = window.rows, window.columns
    around = ((0, 0), (rows.before, rows.after), (columns.before, columns.after), (0, 0))
    return np.pad(x, around, constant_values=value)


def patches(x: np.ndarray, window: Window, padding: float = 0.0):
    """Yield output position and the field it sees, padding included."""
    rows, columns = window.rows, window.columns
    p = padded(x, window, padding)
    for i in range((p.shape[1] - rows.field) // rows.stride + 1):
        for j in range((p.shape[2] - columns.field) // columns.stride + 1):
            top, left = i * rows.stride, j * columns.stride
            yield i, j, p[:, top : top + rows.field, left : left + columns.field]


def local(x: np.ndarray, weight: np.ndarray, window: Window) -> np.ndarray:
    kr, kc = weight.shape[:2]
    h = np.zeros((len(x), window.outputs.rows, window.outputs.columns, weight.shape[-1]))
    for i, j, patch in patches(x, window):
        h[:, i, j] = np.einsum("buvc,uvcm->bm", patch, weight[i % kr, j % kc])
    return h


def decode(h: np.ndarray, weight: np.ndarray, window: Window) -> np.ndarray:
    kr, kc = weight.shape[:2]
    rows, columns = window.rows, window.columns
    shape = (rows.extent + rows.before + rows.after, columns.extent + columns.before + columns.after)
    x = np.zeros((len(h), *shape, weight.shape[-2]))
    for i in range(h.shape[1]):
        for j in range(h.shape[2]):
            top, left = i * rows.stride, j * columns.stride
            part = np.einsum("bm,uvcm->buvc", h[:, i, j], weight[i % kr, j % kc])
            x[:, top : top + rows.field, left : left + columns.field] += part
    return x[:, rows.before : rows.before + rows.extent, columns.before : columns.before + columns.extent]


def bias(values: np.ndarray, extent: tuple[int, int]) -> np.ndarray:
    kr, kc = values.shape[:2]
    return values[np.arange(extent[0]) % kr][:, np.arange(extent[1]) % kc]


def pool(x: np.ndarray, window: Window, reduce, padding: float = 0.0) -> np.ndarray:
    h = np.zeros((len(x), window.outputs.rows, window.outputs.columns, x.shape[3]))
    for i, j, patch in patches(x, window, padding):
        h[:, i, j] = reduce(patch)
    return h


def lcn(h: np.ndarray, field: Size, sigma: tuple[float, float], across: bool, floor: float) -> np.ndarray:
    mean = _gaussian_mean(h, field, sigma, across)
    g = h - mean
    variance = _gaussian_mean(g**2, field, sigma, across)
    return g / np.sqrt(np.maximum(floor**2, variance))


def _gaussian_mean(h: np.ndarray, field: Size, sigma: tuple[float, float], across: bool) -> np.ndarray:
    mean = np.zeros_like(h)
    for i in range(h.shape[1]):
        for j in range(h.shape[2]):
            total, weights = 0.0, 0.0
            for u in range(-(field.rows // 2), field.rows // 2 + 1):
                for v in range(-(field.columns // 2), field.columns // 2 + 1):
                    if 0 <= i + u < h.shape[1] and 0 <= j + v < h.shape[2]:
                        w = np.exp(-(u**2) / (2 * sigma[0] ** 2) - v**2 / (2 * sigma[1] ** 2))
                        seen = h[:, i + u, j + v]
                        total = total + w * (seen.mean(axis=1, keepdims=True) if across else seen)
                        weights += w
            mean[:, i, j] = total / weights
    return mean


def activate(name: str | None, x: np.ndarray) -> np.ndarray:
    match name:
        case None:
            return x
        case "relu":
            return np.maximum(x, 0)
        case "tanh":
            return np.tanh(x)
        case "sigmoid":
            return np.exp(-np.logaddexp(0, -x))
        case "softplus":
            return np.logaddexp(0, x)
    raise AssertionError(name)


def loss(
    graph: Graph, params: dict, images: np.ndarray, labels: np.ndarray | None = None, objectives=None
) -> float:
    """The sum of all terms of the loss, or of some."""
    found = values(graph, params, images)
    total = 0.0
    for objective in graph.objectives if objectives is None else objectives:
        operands = [found[graph.layer(path).path] for path in objective.reads]
        total += objective.weight * _term(objective, operands, graph, params, labels)
    return total


def _term(objective, operands, graph: Graph, params: dict, labels: np.ndarray | None) -> float:
    batch = len(operands[0])
    match objective.term.kind:
        case "squared_error":
            return float(((operands[0] - operands[1]) ** 2).sum() / batch)
        case "l1":
            return float(np.abs(operands[0]).sum() / batch)
        case "l2":
            return float((operands[0] ** 2).sum() / batch)
        case "total":
            return float(operands[0].sum() / batch)
        case "smooth":
            (name,) = [p.name for p in graph.layer(objective.reads[0]).parameters if p.role == "weight"]
            return smooth(np.asarray(params[name], float))
        case "cross_entropy":
            logits = operands[0].reshape(batch, -1)
            logs = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
            logs = logs - logits.max(1, keepdims=True)
            return float(-logs[np.arange(batch), labels].mean())
        case "one_vs_all":
            logits = operands[0].reshape(batch, -1)
            target = np.eye(logits.shape[1])[labels]
            return float((np.logaddexp(0, logits) - target * logits).sum() / batch)
    raise AssertionError(objective.term.kind)


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
