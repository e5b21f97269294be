"""Local layers: a product at every position."""

import numpy as np
from hypothesis import strategies as st

from lnet.compiler.core.shapes import Window
from lnet.compiler.ops.filters import PLAIN, Layout

from .activation import ACTS, activate
from .windows import patches, windows


def set_of(i: int, j: int, sets: np.ndarray, layout: Layout) -> tuple[int, int]:
    """The set of weights of a position: of blocks `i // k`, otherwise `i mod k`."""
    block, lead = layout.block, layout.lead
    row, column = (i + lead.rows) // block.rows, (j + lead.columns) // block.columns
    return row % sets.shape[0], column % sets.shape[1]


def local(x: np.ndarray, weight: np.ndarray, window: Window, layout: Layout = PLAIN) -> np.ndarray:
    h = np.zeros((len(x), window.outputs.rows, window.outputs.columns, weight.shape[-1]))
    for i, j, patch in patches(x, window):
        filters = np.split(weight[set_of(i, j, weight, layout)], layout.groups, -1)
        for group, (seen, own) in enumerate(zip(np.split(patch, layout.groups, -1), filters, strict=True)):
            maps = slice(group * own.shape[-1], (group + 1) * own.shape[-1])
            h[:, i, j, maps] = np.einsum("buvc,uvcm->bm", seen, own)
    return h


def formula(op, operands, roles):
    value = local(operands[0], roles["weight"], op.window, op.layout)
    if op.bias:
        for i in range(value.shape[1]):
            for j in range(value.shape[2]):
                value[:, i, j] += roles["bias"][set_of(i, j, roles["bias"], op.layout)]
    return activate(op.act, value)


SHARES = ["none", "none", "all", "tile(2)", "tile(3x2)", "blocks(2)", "blocks(3x2)", "blocks(1x4)"]


@st.composite
def arguments(draw):
    """`maps`, `share`, `act`, `bias`, `dilation` and `groups`; groups that maps in do not allow make no network."""
    share, act = draw(st.sampled_from(SHARES)), draw(st.sampled_from(ACTS))
    groups, dilation = draw(st.sampled_from([1, 1, 1, 2])), draw(st.sampled_from(["1", "1", "2", "1x3"]))
    given = f"maps = {groups * draw(st.integers(1, 3))}, share = {share}, act = {act}"
    bias = draw(st.sampled_from(["true", "false"]))
    return f"{given}, bias = {bias}, dilation = {dilation}, groups = {groups}"


def line(draw, of, above, locals_above):
    return f"local({draw(windows())}, {draw(arguments())}, of = {of})"


FORMULAS = {"local": formula}
LINES = {"local": line}
