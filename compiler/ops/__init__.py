"""The ops, one file each: the layer kinds of the language, each with a kernel in the runtime.

An op is a frozen dataclass with its shape, parameters, receptive field and cost.
A layer kind is a function: its signature is its argument table, its docstring its row in docs/language.md, and an example.
A file enters both in its own `KINDS` and `OPS`; `FILES` below has its name.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from lnet.compiler.core.layer import Op

from .crop import Crop
from .decode import Decode, decoder_of
from .dense import Dense
from .filters import Filters
from .image import Input
from .lcn import LCN
from .local import Local
from .lrn import LRN
from .norm import BatchNorm, LayerNorm
from .pad import Pad
from .pool import AvgPool, L2Pool, MaxPool, Pool
from .target import Target
from .wiring import Add, Concat

FILES = (
    "image",
    "target",
    "local",
    "decode",
    "transposed",
    "pool",
    "lcn",
    "lrn",
    "norm",
    "pointwise",
    "softmax",
    "dense",
    "dropout",
    "crop",
    "pad",
    "depth",
    "wiring",
)
"""The files of layer kinds, in the order of the reference; those of kernels and of tests have the same names."""
_FILES = [import_module(f"{__name__}.{name}") for name in FILES]
LAYER_KINDS: dict[str, Callable[..., Op]] = {
    name: kind for file in _FILES for name, kind in file.KINDS.items()
}
OPS: dict[str, type[Op]] = {op.kind: op for file in _FILES for op in file.OPS}

__all__ = [
    "FILES",
    "LAYER_KINDS",
    "LCN",
    "LRN",
    "OPS",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Crop",
    "Decode",
    "Dense",
    "Filters",
    "Input",
    "L2Pool",
    "LayerNorm",
    "Local",
    "MaxPool",
    "Pad",
    "Pool",
    "Target",
    "decoder_of",
]
