"""Windows: what they see of a sheet, and how their arguments are drawn."""

import numpy as np
from hypothesis import strategies as st

from lnet.compiler.core.shapes import Window


def padded(x: np.ndarray, window: Window, value: float) -> np.ndarray:
    rows, columns = window.rows, window.columns
    around = ((0, 0), (rows.before, rows.after), (columns.before, columns.after), (0, 0))
    return np.pad(x, around, constant_values=value)


def patches(x: np.ndarray, window: Window, padding: float = 0.0):
    """Yield output position and the field it sees, padding included."""
    rows, columns = window.rows, window.columns
    p = padded(x, window, padding)
    for i in range((p.shape[1] - rows.span) // rows.stride + 1):
        for j in range((p.shape[2] - columns.span) // columns.stride + 1):
            down = i * rows.stride + rows.dilation * np.arange(rows.field)
            right = j * columns.stride + columns.dilation * np.arange(columns.field)
            yield i, j, p[:, down][:, :, right]


@st.composite
def sizes(draw, largest):
    rows, columns = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    return f"{rows}x{columns}" if draw(st.booleans()) else f"{rows}"


@st.composite
def windows(draw, field=4):
    """`field`, `stride` and `pad`, as arguments."""
    given = [f"field = {draw(sizes(field))}"]
    if draw(st.booleans()):
        given.append(f"stride = {draw(sizes(3))}")
    if draw(st.booleans()):
        given.append(
            f"pad = {draw(st.sampled_from(['valid', 'same', '0', '1', '2x1', '0x2', 'size(1, 0)']))}"
        )
    return ", ".join(given)
