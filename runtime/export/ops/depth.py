"""Maps as positions, and positions as maps."""

from __future__ import annotations

from lnet.compiler.ops.depth import DepthToSpace, SpaceToDepth
from lnet.runtime.export.call import Call
from lnet.runtime.export.nodes import Name, Nodes, Parameters

from .base import Module, Writer, pair


def depth_to_space(op: DepthToSpace, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    read, made = op.reads_sheet, op.sheet
    x = nodes.reshaped(operands[0], -1, *pair(op.block), made.maps, read.height, read.width)
    return nodes.reshaped(nodes.transposed(x, 0, 3, 4, 1, 5, 2), -1, made.maps, made.height, made.width)


def space_to_depth(op: SpaceToDepth, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    read, made, (rows, columns) = op.reads_sheet, op.sheet, pair(op.block)
    x = nodes.reshaped(operands[0], -1, read.maps, made.height, rows, made.width, columns)
    return nodes.reshaped(nodes.transposed(x, 0, 3, 5, 1, 2, 4), -1, made.maps, made.height, made.width)


MODULES: dict[str, Module] = {
    "depth_to_space": lambda op: Call("DepthToSpace", (pair(op.block),)),
    "space_to_depth": lambda op: Call("SpaceToDepth", (pair(op.block),)),
}
NODES: dict[str, Writer] = {"depth_to_space": depth_to_space, "space_to_depth": space_to_depth}
