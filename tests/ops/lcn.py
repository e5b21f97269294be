"""Local contrast normalisation: sums over the field around every position."""

import numpy as np
from hypothesis import strategies as st

from lnet.compiler.core.shapes import Size


def lcn(h: np.ndarray, field: Size, sigma: tuple[float, float], across: bool, floor: float) -> np.ndarray:
    mean = _gaussian_mean(h, field, sigma, across)
    g = h - mean
    variance = _gaussian_mean(g**2, field, sigma, across)
    return g / np.sqrt(np.maximum(floor**2, variance))


def _gaussian_mean(h: np.ndarray, field: Size, sigma: tuple[float, float], across: bool) -> np.ndarray:
    mean = np.zeros_like(h)
    for i in range(h.shape[1]):
        for j in range(h.shape[2]):
            total, weights = 0.0, 0.0
            for u in range(-(field.rows // 2), field.rows // 2 + 1):
                for v in range(-(field.columns // 2), field.columns // 2 + 1):
                    if 0 <= i + u < h.shape[1] and 0 <= j + v < h.shape[2]:
                        w = np.exp(-(u**2) / (2 * sigma[0] ** 2) - v**2 / (2 * sigma[1] ** 2))
                        seen = h[:, i + u, j + v]
                        total = total + w * (seen.mean(axis=1, keepdims=True) if across else seen)
                        weights += w
            mean[:, i, j] = total / weights
    return mean


def formula(op, operands, roles):
    value = lcn(operands[0], op.field, op.sigma, op.across, op.floor)
    rows, columns = op.within.rows, op.within.columns
    return value[:, rows.start : rows.stop, columns.start : columns.stop]


def line(draw, of, above, locals_above):
    across, edge = draw(st.sampled_from(["all", "none"])), draw(st.sampled_from(["same", "valid"]))
    field, sigma = draw(st.sampled_from(["3", "5", "3x1", "1x5"])), draw(st.sampled_from(["none", "2"]))
    return f"lcn({field}, sigma = {sigma}, across = {across}, edge = {edge}, floor = 0.2, of = {of})"


FORMULAS = {"lcn": formula}
LINES = {"lcn": line}
