"""Decoders: what every unit writes, added up."""

import numpy as np
from hypothesis import strategies as st

from lnet.compiler.core.shapes import Window
from lnet.compiler.ops.filters import PLAIN, Layout

from .local import set_of


def decode(h: np.ndarray, weight: np.ndarray, window: Window, layout: Layout = PLAIN) -> np.ndarray:
    rows, columns = window.rows, window.columns
    shape = (rows.extent + rows.before + rows.after, columns.extent + columns.before + columns.after)
    maps_in = weight.shape[-2]
    x = np.zeros((len(h), *shape, maps_in * layout.groups))
    for i in range(h.shape[1]):
        for j in range(h.shape[2]):
            filters = np.split(weight[set_of(i, j, weight, layout)], layout.groups, -1)
            given = np.split(h[:, i, j], layout.groups, -1)
            for group, (unit, own) in enumerate(zip(given, filters, strict=True)):
                maps = slice(group * maps_in, (group + 1) * maps_in)
                for u in range(rows.field):
                    for v in range(columns.field):
                        y, z = i * rows.stride + u * rows.dilation, j * columns.stride + v * columns.dilation
                        x[:, y, z, maps] += unit @ own[u, v].T
    return x[:, rows.before : rows.before + rows.extent, columns.before : columns.before + columns.extent]


def line(draw, of, above, locals_above):
    if not locals_above:
        return f"relu(of = {of})"
    like = draw(st.sampled_from(locals_above))
    return f"decode(like = {like}, tied = {draw(st.sampled_from(['true', 'false']))}, of = {like})"


FORMULAS = {"decode": lambda op, operands, roles: decode(operands[0], roles["weight"], op.window, op.layout)}
LINES = {"decode": line}
