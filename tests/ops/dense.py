"""Dense layers: a product of all values."""

from hypothesis import strategies as st

from .activation import ACTS, activate


def formula(op, operands, roles):
    units = operands[0].reshape(len(operands[0]), -1) @ roles["weight"]
    return activate(op.act, (units + roles["bias"] if op.bias else units)[:, None, None, :])


def line(draw, of, above, locals_above):
    act, bias = draw(st.sampled_from(ACTS)), draw(st.sampled_from(["true", "false"]))
    return f"dense({draw(st.integers(1, 4))}, act = {act}, bias = {bias}, of = {of})"


FORMULAS = {"dense": formula}
LINES = {"dense": line}
