"""Layers of several operands."""

from __future__ import annotations

from lnet.runtime.export.call import Call

from .base import Module, Writer

MODULES: dict[str, Module] = {"concat": lambda op: Call("Concat"), "add": lambda op: Call("Add")}
NODES: dict[str, Writer] = {
    "concat": lambda op, nodes, operands, params: nodes.add("Concat", *operands, axis=1),
    "add": lambda op, nodes, operands, params: nodes.add("Sum", *operands),
}
