"""The central rows and columns."""

from .windows import sizes


def formula(op, operands, roles):
    (x,), size = operands, op.size
    top, left = (x.shape[1] - size.rows) // 2, (x.shape[2] - size.columns) // 2
    return x[:, top : top + size.rows, left : left + size.columns]


def line(draw, of, above, locals_above):
    return f"crop({draw(sizes(4))}, of = {of})"


FORMULAS = {"crop": formula}
LINES = {"crop": line}
