"""Local response normalisation."""

from __future__ import annotations

import numpy as np

from lnet.compiler.ops import LRN
from lnet.runtime.export.call import Call, unless
from lnet.runtime.export.nodes import Name, Nodes, Parameters

from .base import Module, Writer


def module(op: LRN) -> Call:
    given = unless(1e-4, alpha=op.alpha) | unless(0.75, beta=op.beta) | unless(1.0, bias=op.bias)
    return Call("LRN", (op.size,), given)


def nodes(op: LRN, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    maps = np.arange(op.reads_sheet.maps)
    ahead = maps[None, :] - maps[:, None]
    near = (-(op.size // 2) <= ahead) & (ahead <= (op.size - 1) // 2)
    squares = nodes.add(
        "Einsum", near.astype(np.float32), nodes.squared(operands[0]), equation="cd,ndhw->nchw"
    )
    total = nodes.add("Add", nodes.add("Mul", squares, op.alpha / op.size), op.bias)
    return nodes.add("Div", operands[0], nodes.add("Pow", total, op.beta))


MODULES: dict[str, Module] = {"lrn": module}
NODES: dict[str, Writer] = {"lrn": nodes}
