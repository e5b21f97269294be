"""The `act` at the end of other ops: a formula of its own."""

import numpy as np

from . import pointwise, softmax

ACTS = ("none", *pointwise.FUNCTIONS, *pointwise.CALLS, "softmax")
_FORMULAS = {**pointwise.FORMULAS, **softmax.FORMULAS}


def activate(act, x: np.ndarray) -> np.ndarray:
    """Apply an op to `[batch, row, column, map]`."""
    return x if act is None else _FORMULAS[act.kind](act, [x], {})
