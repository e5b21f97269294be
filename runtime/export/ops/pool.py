"""Pools."""

from __future__ import annotations

from math import inf

import numpy as np

from lnet.compiler.core.shapes import Slide, Window
from lnet.compiler.ops import AvgPool, L2Pool, MaxPool, Pool
from lnet.runtime.export.call import Call, unless
from lnet.runtime.export.nodes import Array, Name, Nodes, Parameters

from .base import Module, Writer, around, pair


def module(name: str, op: Pool, **more: float) -> Call:
    """Return the module of a pool."""
    stride = (op.window.rows.stride, op.window.columns.stride)
    given = unless((1, 1), stride=stride) | unless((0, 0, 0, 0), pad=around(op.window))
    return Call(name, (pair(op.window.field),), given | more)


def largest(op: MaxPool, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    rows, columns = op.window.rows, op.window.columns
    around = ((rows.before, rows.after), (columns.before, columns.after))
    x = nodes.padded(operands[0], *around, 0.0 if op.zeros else -inf)
    return nodes.add("MaxPool", x, kernel_shape=pair(op.window.field), strides=[rows.stride, columns.stride])


def total(window: Window, nodes: Nodes, x: Name) -> Name:
    """Add the sums over a field: products with matrices of ones, because not every program pads by more than a field."""
    rows, columns = _ones(window.rows), _ones(window.columns).T
    return nodes.add("MatMul", nodes.add("MatMul", rows, x), columns)


def _ones(slide: Slide) -> Array:
    """Return which inputs each position sees along an axis: `[position, input]`."""
    ahead = np.arange(slide.extent) + slide.before - np.arange(slide.outputs)[:, None] * slide.stride
    return ((ahead >= 0) & (ahead < slide.field)).astype(np.float32)


def mean(op: AvgPool, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    area = op.window.field.rows * op.window.field.columns
    return nodes.add("Div", total(op.window, nodes, operands[0]), float(area))


def length(op: L2Pool, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    squares = total(op.window, nodes, nodes.squared(operands[0]))
    return nodes.add("Sqrt", nodes.add("Add", squares, op.eps))


MODULES: dict[str, Module] = {
    "l2pool": lambda op: module("L2Pool", op, **unless(1e-3, eps=op.eps)),
    "maxpool": lambda op: module("MaxPoolOfZeros" if op.zeros else "MaxPool", op),
    "avgpool": lambda op: module("AvgPool", op),
}
NODES: dict[str, Writer] = {"l2pool": length, "maxpool": largest, "avgpool": mean}
