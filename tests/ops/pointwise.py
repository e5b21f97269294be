"""Functions of each value alone."""

import numpy as np

FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
    "softplus": lambda x: np.logaddexp(0, x),
}
ACTS = ("none", *FUNCTIONS)


def activate(name: str | None, x: np.ndarray) -> np.ndarray:
    return x if name is None else FUNCTIONS[name](x)


def line(kind):
    return lambda draw, of, above, locals_above: f"{kind}(of = {of})"


FORMULAS = {"pointwise": lambda op, operands, roles: activate(op.function, operands[0])}
LINES = {kind: line(kind) for kind in FUNCTIONS}
