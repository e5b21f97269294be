"""Functions of each value alone, as layers and as the `act` of others."""

import math

import numpy as np
from hypothesis import strategies as st

FUNCTIONS = {
    "relu": lambda op, x: np.maximum(x, 0),
    "leaky_relu": lambda op, x: np.where(x > 0, x, op.slope * x),
    "elu": lambda op, x: np.where(x > 0, x, op.alpha * np.expm1(np.minimum(x, 0))),
    "gelu": lambda op, x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "silu": lambda op, x: x * np.exp(-np.logaddexp(0, -x)),
    "tanh": lambda op, x: np.tanh(x),
    "sigmoid": lambda op, x: np.exp(-np.logaddexp(0, -x)),
    "softplus": lambda op, x: np.logaddexp(0, x),
    "abs": lambda op, x: np.where(x < 0, -x, x),
}
ARGUMENTS = {"leaky_relu": ("", "slope = 0.3"), "elu": ("", "alpha = 2")}
CALLS = [f"{kind}({given})" for kind in FUNCTIONS for given in ARGUMENTS.get(kind, ("",))]


def line(kind):
    def drawn(draw, of, above, locals_above):
        given = draw(st.sampled_from(ARGUMENTS.get(kind, ("",))))
        return f"{kind}({given}{', ' if given else ''}of = {of})"

    return drawn


FORMULAS = {kind: lambda op, operands, roles: FUNCTIONS[op.kind](op, operands[0]) for kind in FUNCTIONS}
LINES = {kind: line(kind) for kind in FUNCTIONS}
