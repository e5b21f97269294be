"""The softmax over the maps of each position."""

from __future__ import annotations

from lnet.runtime.export.call import Call

from .base import Module, Writer

MODULES: dict[str, Module] = {"softmax": lambda op: Call("nn.Softmax", (), {"dim": 1})}
NODES: dict[str, Writer] = {
    "softmax": lambda op, nodes, operands, params: nodes.add("Softmax", operands[0], axis=1)
}
