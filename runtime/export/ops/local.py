"""Local layers, and convolutions."""

from __future__ import annotations

from lnet.compiler.ops import Local
from lnet.runtime.export.call import Call, unless
from lnet.runtime.export.nodes import Name, Nodes, Parameters

from .activation import act, activated
from .base import Module, Writer, pair, triple
from .filters import attributes, axes_of, filters, kernel, shares_one, sliding, taps


def module(op: Local) -> Call:
    read = (*pair(op.window.inputs), op.maps_in)
    given = sliding(op) | unless(False, bias=op.bias) | act(op.act)
    name = "Convolution" if shares_one(op) else "Local"
    return Call(name, (read, triple(op.sheet), pair(op.window.field)), given)


def nodes(op: Local, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    rows, columns = axes_of(op)
    x = nodes.padded(operands[0], rows.padding, columns.padding)
    y = _convolved(op, nodes, x, params) if shares_one(op) else _filtered(op, nodes, x, params)
    if op.bias:
        used_rows, used_columns = op.sets_used()
        y = nodes.add(
            "Add",
            y,
            nodes.parameter(params["bias"], lambda b: b[used_rows][:, used_columns].transpose(2, 0, 1)),
        )
    return activated(op.act, nodes, y)


def _convolved(op: Local, nodes: Nodes, x: Name, params: Parameters) -> Name:
    return nodes.add("Conv", x, kernel(nodes, params["weight"]), **attributes(axes_of(op), op.layout.groups))


def _filtered(op: Local, nodes: Nodes, x: Name, params: Parameters) -> Name:
    (rows, columns), groups = axes_of(op), op.layout.groups
    down = nodes.add("Gather", x, taps(rows), axis=2)  # n, map, t, a, b, u, column
    seen = nodes.add("Gather", down, taps(columns), axis=6)
    seen = nodes.reshaped(
        seen, -1, groups, op.maps_in // groups, *rows.turns, rows.field, *columns.turns, columns.field
    )
    weight = filters(nodes, params["weight"], groups)
    y = nodes.add("Einsum", weight, seen, equation="aduvcgm,ngctabupdev->ngmtabpde")
    complete = (rows.positions + rows.missing, columns.positions + columns.missing)
    y = nodes.reshaped(y, -1, op.maps, *complete)
    return nodes.padded(y, (0, -rows.missing), (0, -columns.missing))


MODULES: dict[str, Module] = {"local": module}
NODES: dict[str, Writer] = {"local": nodes}
