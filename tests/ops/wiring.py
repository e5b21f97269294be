"""Layers of several operands."""

import numpy as np
from hypothesis import strategies as st


def line(kind):
    def drawn(draw, of, above, locals_above):
        several = draw(st.lists(st.sampled_from(above), min_size=1, max_size=3))
        return f"{kind}([{', '.join(several)}])"

    return drawn


FORMULAS = {
    "concat": lambda op, operands, roles: np.concatenate(operands, axis=3),
    "add": lambda op, operands, roles: np.sum(operands, axis=0),
}
LINES = {kind: line(kind) for kind in FORMULAS}
