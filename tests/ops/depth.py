"""Blocks of maps as positions, and of positions as maps: every value to its place."""

import numpy as np

from .windows import sizes


def depth_to_space(op, operands, roles):
    (x,), r, c = operands, op.block.rows, op.block.columns
    n, h, w, maps = x.shape
    k = maps // (r * c)
    y = np.zeros((n, h * r, w * c, k))
    for i, j, u, v, m in np.ndindex(h, w, r, c, k):
        y[:, i * r + u, j * c + v, m] = x[:, i, j, (u * c + v) * k + m]
    return y


def space_to_depth(op, operands, roles):
    (x,), r, c = operands, op.block.rows, op.block.columns
    n, h, w, k = x.shape
    y = np.zeros((n, h // r, w // c, r * c * k))
    for i, j, u, v, m in np.ndindex(h // r, w // c, r, c, k):
        y[:, i, j, (u * c + v) * k + m] = x[:, i * r + u, j * c + v, m]
    return y


def line(kind):
    return lambda draw, of, above, locals_above: f"{kind}({draw(sizes(3))}, of = {of})"


FORMULAS = {"depth_to_space": depth_to_space, "space_to_depth": space_to_depth}
LINES = {kind: line(kind) for kind in FORMULAS}
