"""Local response normalisation, map by map."""

import numpy as np
from hypothesis import strategies as st


def formula(op, operands, roles):
    (x,), maps = operands, operands[0].shape[3]
    value = np.zeros_like(x)
    for c in range(maps):
        near = x[..., max(0, c - op.size // 2) : c + (op.size - 1) // 2 + 1]
        value[..., c] = x[..., c] / (op.bias + op.alpha / op.size * (near**2).sum(3)) ** op.beta
    return value


def line(draw, of, above, locals_above):
    size, alpha = draw(st.integers(1, 7)), draw(st.sampled_from(["1e-4", "2"]))
    beta, bias = draw(st.sampled_from(["0.75", "0.5"])), draw(st.sampled_from(["1", "2"]))
    return f"lrn({size}, alpha = {alpha}, beta = {beta}, bias = {bias}, of = {of})"


FORMULAS = {"lrn": formula}
LINES = {"lrn": line}
