"""Rows and columns around a sheet."""

from __future__ import annotations

from typing import Any

import numpy as np

from lnet.compiler.ops import Pad
from lnet.runtime.export.call import Call
from lnet.runtime.export.nodes import Name, Nodes, Parameters

from .base import Module, Writer

MODES = {"zero": "constant", "edge": "replicate", "reflect": "reflect", "wrap": "circular"}
"""PyTorch's words for what `fill` says."""


def module(op: Pad) -> Call:
    mode = () if op.fill == "zero" else (MODES[op.fill],)
    return Call("Pad", ((*op.columns.around, *op.rows.around), *mode))


def nodes(op: Pad, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    (x,) = operands
    if op.fill == "zero":
        return nodes.padded(x, op.rows.around, op.columns.around)
    for number, axis in ((2, op.rows), (3, op.columns)):
        mode: Any = op.fill  # numpy has the same words
        shown = np.pad(np.arange(axis.extent), axis.around, mode)
        x = nodes.add("Gather", x, shown, axis=number)
    return x


MODULES: dict[str, Module] = {"pad": module}
NODES: dict[str, Writer] = {"pad": nodes}
