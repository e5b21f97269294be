"""Pools: each field reduced to a value."""

import numpy as np
from hypothesis import strategies as st

from lnet.compiler.core.shapes import Window

from .windows import patches, windows


def pool(x: np.ndarray, window: Window, reduce, padding: float = 0.0) -> np.ndarray:
    h = np.zeros((len(x), window.outputs.rows, window.outputs.columns, x.shape[3]))
    for i, j, patch in patches(x, window, padding):
        h[:, i, j] = reduce(patch)
    return h


def l2pool(op, operands, roles):
    return pool(operands[0], op.window, lambda field: np.sqrt(op.eps + (field**2).sum((1, 2))))


def maxpool(op, operands, roles):
    return pool(operands[0], op.window, lambda field: field.max((1, 2)), 0.0 if op.zeros else -np.inf)


def avgpool(op, operands, roles):
    return pool(operands[0], op.window, lambda field: field.mean((1, 2)))


def line(kind):
    return lambda draw, of, above, locals_above: f"{kind}({draw(windows(3))}, of = {of})"


def l2pool_line(draw, of, above, locals_above):
    return f"l2pool({draw(windows(3))}, eps = {draw(st.sampled_from(['1e-3', '0.5']))}, of = {of})"


FORMULAS = {"l2pool": l2pool, "maxpool": maxpool, "avgpool": avgpool}
LINES = {"l2pool": l2pool_line, "maxpool": line("maxpool"), "avgpool": line("avgpool")}
