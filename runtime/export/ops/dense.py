"""Dense layers."""

from __future__ import annotations

from lnet.compiler.ops import Dense
from lnet.runtime.export.call import Call, unless
from lnet.runtime.export.nodes import Name, Nodes, Parameters

from .activation import act, activated
from .base import Module, Writer


def module(op: Dense) -> Call:
    given = unless(False, bias=op.bias) | act(op.act)
    return Call("Dense", (op.reads_sheet.values, op.units), given)


def nodes(op: Dense, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    inputs = nodes.reshaped(nodes.transposed(operands[0], 0, 2, 3, 1), -1, op.reads_sheet.values)
    y = nodes.add("MatMul", inputs, nodes.parameter(params["weight"]))
    if op.bias:
        y = nodes.add("Add", y, nodes.parameter(params["bias"]))
    return activated(op.act, nodes, nodes.reshaped(y, -1, op.units, 1, 1))


MODULES: dict[str, Module] = {"dense": module}
NODES: dict[str, Writer] = {"dense": nodes}
