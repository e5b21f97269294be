"""Normalisation of each image, or by running values."""

from __future__ import annotations

from typing import Any

from lnet.compiler.ops.norm import BatchNorm, LayerNorm
from lnet.runtime.export.call import Call, unless
from lnet.runtime.export.nodes import Array, Name, Nodes, Parameters

from .base import Module, Writer


def _affine(op: LayerNorm | BatchNorm) -> dict[str, Any]:
    """Return the shapes of factors and summands, as far as there are."""
    return {role: weights.shape for role, weights in op.affine.weights(op.reads_sheet).items()}


def layernorm_module(op: LayerNorm) -> Call:
    given = unless(True, everywhere=op.everywhere) | unless(1, groups=op.groups)
    return Call("LayerNorm", (), given | _affine(op) | unless(1e-5, eps=op.eps))


def batchnorm_module(op: BatchNorm) -> Call:
    given = unless(0.99, momentum=op.momentum) | _affine(op) | unless(1e-3, eps=op.eps)
    return Call("BatchNorm", (op.reads_sheet.maps,), given)


def layernorm(op: LayerNorm, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    sheet, axes = op.reads_sheet, (2, 3, 4) if op.everywhere else (2,)
    size = (sheet.height, sheet.width)
    x = nodes.reshaped(operands[0], -1, op.groups, sheet.maps // op.groups, *size)
    centred = nodes.add("Sub", x, nodes.mean(x, *axes))
    variance = nodes.mean(nodes.squared(centred), *axes)
    y = nodes.add("Div", centred, nodes.add("Sqrt", nodes.add("Add", variance, op.eps)))
    return _scaled(nodes, nodes.reshaped(y, -1, sheet.maps, *size), params)


def batchnorm(op: BatchNorm, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    centred = nodes.add("Sub", operands[0], nodes.parameter(params["mean"], _maps_first))
    variance = nodes.add("Add", nodes.parameter(params["variance"], _maps_first), op.eps)
    return _scaled(nodes, nodes.add("Div", centred, nodes.add("Sqrt", variance)), params)


def _scaled(nodes: Nodes, y: Name, params: Parameters) -> Name:
    for role, kind in (("scale", "Mul"), ("shift", "Add")):
        if role in params:
            y = nodes.add(kind, y, nodes.parameter(params[role], _maps_first))
    return y


def _maps_first(array: Array) -> Array:
    """`[map]` or `[row, column, map]` to `[map, row, column]`."""
    return array[:, None, None] if array.ndim == 1 else array.transpose(2, 0, 1)


MODULES: dict[str, Module] = {"layernorm": layernorm_module, "batchnorm": batchnorm_module}
NODES: dict[str, Writer] = {"layernorm": layernorm, "batchnorm": batchnorm}
