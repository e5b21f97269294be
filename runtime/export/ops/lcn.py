"""Local contrast normalisation."""

from __future__ import annotations

from lnet.compiler.ops import LCN
from lnet.runtime.export.call import Call, unless
from lnet.runtime.export.nodes import Array, Name, Nodes, Parameters
from lnet.runtime.kernels.ops.lcn import gaussians

from .base import Module, Writer, pair


def module(op: LCN) -> Call:
    given = unless(True, across=op.across) | unless(0.01, floor=op.floor)
    given |= unless((0, 0), margin=pair(op.within.start))
    return Call("LCN", (pair(op.reads_sheet.size), pair(op.field), op.sigma), given)


def nodes(op: LCN, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    size = op.reads_sheet.size
    rows = gaussians(size.rows, op.field.rows, op.sigma[0])
    columns = gaussians(size.columns, op.field.columns, op.sigma[1]).T
    centred = nodes.add("Sub", operands[0], _mean(op, nodes, operands[0], rows, columns))
    variance = _mean(op, nodes, nodes.squared(centred), rows, columns)
    y = nodes.add("Div", centred, nodes.add("Sqrt", nodes.add("Max", variance, op.floor**2)))
    here = op.within
    return nodes.cut(y, (2, 3), (here.rows.start, here.columns.start), (here.rows.stop, here.columns.stop))


def _mean(op: LCN, nodes: Nodes, x: Name, rows: Array, columns: Array) -> Name:
    x = nodes.mean(x, 1) if op.across else x
    return nodes.add("MatMul", nodes.add("MatMul", rows, x), columns)


MODULES: dict[str, Module] = {"lcn": module}
NODES: dict[str, Writer] = {"lcn": nodes}
