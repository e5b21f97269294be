"""Rows and columns cut out of a sheet."""

from __future__ import annotations

from lnet.compiler.ops import Crop
from lnet.runtime.export.call import Call
from lnet.runtime.export.nodes import Name, Nodes, Parameters

from .base import Module, Writer, pair


def module(op: Crop) -> Call:
    return Call("Crop", (pair(op.start), pair(op.size)))


def nodes(op: Crop, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    (top, left), (rows, columns) = pair(op.start), pair(op.size)
    return nodes.cut(operands[0], (2, 3), (top, left), (top + rows, left + columns))


MODULES: dict[str, Module] = {"crop": module}
NODES: dict[str, Writer] = {"crop": nodes}
