"""Transposed local layers."""

from __future__ import annotations

from lnet.compiler.ops.filters import Transpose
from lnet.compiler.ops.transposed import Transposed
from lnet.runtime.export.call import Call
from lnet.runtime.export.nodes import Name, Nodes, Parameters

from .activation import act, activated
from .base import Module, Writer, pair, triple
from .filters import attributes, axes_of, filters, kernel, shares_one, sliding


def transpose(op: Transpose) -> Call:
    """Return the module of a transpose without bias and activation."""
    read = (*pair(op.window.outputs), op.maps)
    name = "ConvolutionTranspose" if shares_one(op) else "LocalTranspose"
    return Call(name, (read, triple(op.sheet), pair(op.window.field)), sliding(op))


def module(op: Transposed) -> Call:
    call = transpose(op)
    bias = {} if op.biases is None else {"bias": pair(op.biases)}
    return Call(call.name, call.arguments, {**call.given, **bias, **act(op.act)})


def projected(op: Transpose, nodes: Nodes, x: Name, params: Parameters) -> Name:
    """Add the nodes of a transpose without bias and activation."""
    rows, columns = axes_of(op)
    weight = params["weight"]
    if shares_one(op):
        written = nodes.add(
            "ConvTranspose", x, kernel(nodes, weight), **attributes((rows, columns), op.layout.groups)
        )
    else:
        written = _written(op, nodes, x, params)
    return nodes.padded(written, rows.cut, columns.cut)


def _written(op: Transpose, nodes: Nodes, x: Name, params: Parameters) -> Name:
    (rows, columns), groups = axes_of(op), op.layout.groups
    x = nodes.padded(x, (0, rows.missing), (0, columns.missing))
    x = nodes.reshaped(x, -1, groups, op.maps // groups, *rows.turns, *columns.turns)
    weight = filters(nodes, params["weight"], groups)
    parts = nodes.add("Einsum", weight, x, equation="aduvcgm,ngmtabpde->ngcuvtabpde")
    complete = (rows.positions + rows.missing, columns.positions + columns.missing)
    values = op.maps_in * rows.field * columns.field
    parts = nodes.padded(
        nodes.reshaped(parts, -1, values, *complete), (0, -rows.missing), (0, -columns.missing)
    )
    return nodes.add(
        "Col2Im",
        nodes.reshaped(parts, -1, values, rows.positions * columns.positions),
        [rows.reach, columns.reach],
        [rows.field, columns.field],
        strides=[rows.stride, columns.stride],
        dilations=[rows.dilation, columns.dilation],
    )


def nodes(op: Transposed, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    y = projected(op, nodes, operands[0], params)
    if op.biases is not None:
        y = nodes.add("Add", y, nodes.parameter(params["bias"], lambda bias: bias.transpose(2, 0, 1)))
    return activated(op.act, nodes, y)


MODULES: dict[str, Module] = {"transposed": module}
NODES: dict[str, Writer] = {"transposed": nodes}
