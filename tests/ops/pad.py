"""Rows and columns around a sheet: the position that each shows, one at a time."""

import numpy as np
from hypothesis import strategies as st


def seen(position: int, extent: int, fill: str) -> int | None:
    """The position of the operand that a position shows, which is below 0 before it; None for a zero."""
    if 0 <= position < extent:
        return position
    match fill:
        case "zero":
            return None
        case "edge":
            return 0 if position < 0 else extent - 1
        case "reflect":
            return -position if position < 0 else extent - 1 - (position - (extent - 1))
        case "wrap":
            return position % extent


def formula(op, operands, roles):
    (x,) = operands
    top, bottom = -op.rows.shown.start, op.rows.shown.stop - x.shape[1]
    left, right = -op.columns.shown.start, op.columns.shown.stop - x.shape[2]
    value = np.zeros((len(x), top + x.shape[1] + bottom, left + x.shape[2] + right, x.shape[3]))
    for i in range(value.shape[1]):
        for j in range(value.shape[2]):
            row, column = seen(i - top, x.shape[1], op.fill), seen(j - left, x.shape[2], op.fill)
            if row is not None and column is not None:
                value[:, i, j] = x[:, row, column]
    return value


def line(draw, of, above, locals_above):
    sides = ", ".join(f"{side} = {draw(st.integers(0, 4))}" for side in ("top", "bottom", "left", "right"))
    return f"pad({sides}, fill = {draw(st.sampled_from(['zero', 'edge', 'reflect', 'wrap']))}, of = {of})"


FORMULAS = {"pad": formula}
LINES = {"pad": line}
