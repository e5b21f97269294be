"""Local layers: a product at every position."""

import numpy as np
from hypothesis import strategies as st

from lnet.compiler.core.shapes import Window

from .pointwise import ACTS, activate
from .windows import patches, windows


def local(x: np.ndarray, weight: np.ndarray, window: Window) -> np.ndarray:
    kr, kc = weight.shape[:2]
    h = np.zeros((len(x), window.outputs.rows, window.outputs.columns, weight.shape[-1]))
    for i, j, patch in patches(x, window):
        h[:, i, j] = np.einsum("buvc,uvcm->bm", patch, weight[i % kr, j % kc])
    return h


def bias(values: np.ndarray, extent: tuple[int, int]) -> np.ndarray:
    kr, kc = values.shape[:2]
    return values[np.arange(extent[0]) % kr][:, np.arange(extent[1]) % kc]


def formula(op, operands, roles):
    value = local(operands[0], roles["weight"], op.window)
    return activate(op.act, value + bias(roles["bias"], value.shape[1:3]) if op.bias else value)


def line(draw, of, above, locals_above):
    share = draw(st.sampled_from(["none", "none", "all", "tile(2)", "tile(3x2)"]))
    act, bias = draw(st.sampled_from(ACTS)), draw(st.sampled_from(["true", "false"]))
    maps = draw(st.integers(1, 3))
    return f"local({draw(windows())}, maps = {maps}, share = {share}, act = {act}, bias = {bias}, of = {of})"


FORMULAS = {"local": formula}
LINES = {"local": line}
