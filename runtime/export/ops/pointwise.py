"""Functions of each value alone."""

from __future__ import annotations

from math import sqrt
from typing import Any

from lnet.runtime.export.call import Call
from lnet.runtime.export.nodes import Name, Nodes, Parameters

from .base import Module, Writer

MODULES: dict[str, Module] = {
    "relu": lambda op: Call("nn.ReLU"),
    "leaky_relu": lambda op: Call("nn.LeakyReLU", (op.slope,)),
    "elu": lambda op: Call("nn.ELU", (op.alpha,)),
    "gelu": lambda op: Call("nn.GELU"),
    "silu": lambda op: Call("nn.SiLU"),
    "tanh": lambda op: Call("nn.Tanh"),
    "sigmoid": lambda op: Call("nn.Sigmoid"),
    "softplus": lambda op: Call("nn.Softplus"),
    "abs": lambda op: Call("Abs"),
}


def node(kind: str, **attributes: str) -> Writer:
    """Return what adds a single node; `attributes` are names of the op's arguments."""

    def writer(op: Any, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
        found = {name: getattr(op, argument) for name, argument in attributes.items()}
        return nodes.add(kind, *operands, **found)

    return writer


def gelu(op: Any, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    (x,) = operands
    below = nodes.add(
        "Add", nodes.add("Erf", nodes.add("Mul", x, sqrt(0.5))), 1.0
    )  # twice the normal distribution
    return nodes.add("Mul", nodes.add("Mul", x, 0.5), below)


def silu(op: Any, nodes: Nodes, operands: list[Name], params: Parameters) -> Name:
    return nodes.add("Mul", operands[0], nodes.add("Sigmoid", operands[0]))


NODES: dict[str, Writer] = {
    "relu": node("Relu"),
    "leaky_relu": node("LeakyRelu", alpha="slope"),
    "elu": node("Elu", alpha="alpha"),
    "gelu": gelu,
    "silu": silu,
    "tanh": node("Tanh"),
    "sigmoid": node("Sigmoid"),
    "softplus": node("Softplus"),
    "abs": node("Abs"),
}
