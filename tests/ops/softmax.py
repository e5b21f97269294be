"""The softmax over the maps of each position."""

import numpy as np


def formula(op, operands, roles):
    (x,) = operands
    powers = np.exp(x - x.max(axis=3, keepdims=True))
    return powers / powers.sum(axis=3, keepdims=True)


def line(draw, of, above, locals_above):
    return f"softmax(of = {of})"


FORMULAS = {"softmax": formula}
LINES = {"softmax": line}
