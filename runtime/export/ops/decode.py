"""Decoders: transposes of local layers, with weights of their own or with those of the local layer."""

from __future__ import annotations

from lnet.compiler.ops.decode import Decode
from lnet.runtime.export.call import Call, unless

from .base import Module, Writer
from .transposed import projected, transpose


def module(op: Decode) -> Call:
    call = transpose(op)
    return Call(call.name, call.arguments, {**call.given, **unless(False, tied=op.tied)})


MODULES: dict[str, Module] = {"decode": module}
NODES: dict[str, Writer] = {
    "decode": lambda op, nodes, operands, params: projected(op, nodes, operands[0], params)
}
