"""How each op is written in PyTorch and in ONNX: a file for each file of `compiler/ops`, of the same name.

`MODULES`: by the kind of op, the function that returns the call which makes its module (`modules` has the classes).
`NODES`: by the kind of op, the function that adds its nodes to a graph.
"""

from __future__ import annotations

from importlib import import_module

from lnet.compiler import ops

from .base import Module, Writer

_FILES = [import_module(f"{__name__}.{name}") for name in ops.FILES]
MODULES: dict[str, Module] = {kind: module for file in _FILES for kind, module in file.MODULES.items()}
NODES: dict[str, Writer] = {kind: writer for file in _FILES for kind, writer in file.NODES.items()}
