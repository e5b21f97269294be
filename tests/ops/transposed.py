"""Transposed layers: what every position writes, added up, by the formula of the reference."""

import numpy as np
from hypothesis import strategies as st

from .activation import activate
from .local import arguments, set_of
from .windows import sizes


def formula(op, operands, roles):
    (x,), weight, groups = operands, roles["weight"], op.layout.groups
    rows, columns, maps = op.window.rows, op.window.columns, weight.shape[-2]
    y = np.zeros((len(x), op.sheet.height, op.sheet.width, maps * groups))
    for i, j, u, v in np.ndindex(*x.shape[1:3], rows.field, columns.field):
        a = i * rows.stride + u * rows.dilation - rows.before
        b = j * columns.stride + v * columns.dilation - columns.before
        if 0 <= a < y.shape[1] and 0 <= b < y.shape[2]:
            filters = np.split(weight[set_of(i, j, weight, op.layout)][u, v], groups, -1)
            for group, (own, unit) in enumerate(zip(filters, np.split(x[:, i, j], groups, -1), strict=True)):
                y[:, a, b, group * maps : (group + 1) * maps] += np.einsum("mc,bc->bm", own, unit)
    return activate(op.act, y + roles["bias"] if op.biases else y)


def line(draw, of, above, locals_above):
    given = [f"field = {draw(sizes(4))}, stride = {draw(sizes(3))}", draw(arguments())]
    given.append(draw(st.sampled_from(["pad = valid", "pad = same", "pad = 1", "pad = 1x2", "extra = 1"])))
    return f"transposed({', '.join(given)}, of = {of})"


FORMULAS = {"transposed": formula}
LINES = {"transposed": line}
