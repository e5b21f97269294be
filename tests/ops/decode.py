"""Decoders: what every unit writes, added up."""

import numpy as np
from hypothesis import strategies as st

from lnet.compiler.core.shapes import Window


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


def line(draw, of, above, locals_above):
    if not locals_above:
        return f"relu(of = {of})"
    like = draw(st.sampled_from(locals_above))
    return f"decode(like = {like}, tied = {draw(st.sampled_from(['true', 'false']))}, of = {like})"


FORMULAS = {"decode": lambda op, operands, roles: decode(operands[0], roles["weight"], op.window)}
LINES = {"decode": line}
