"""Dropout, which evaluation has not."""

from __future__ import annotations

from lnet.runtime.export.call import Call

from .base import Module, Writer

MODULES: dict[str, Module] = {"dropout": lambda op: Call("nn.Dropout", (op.rate,))}
NODES: dict[str, Writer] = {"dropout": lambda op, nodes, operands, params: operands[0]}
