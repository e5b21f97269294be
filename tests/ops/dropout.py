"""Dropout: in evaluation the values themselves."""

from hypothesis import strategies as st


def line(draw, of, above, locals_above):
    return f"dropout({draw(st.sampled_from(['0', '0.3']))}, of = {of})"


FORMULAS = {"dropout": lambda op, operands, roles: operands[0]}
LINES = {"dropout": line}
