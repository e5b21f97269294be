"""The ops, one file each: the layer kinds of the language, each with a kernel in the runtime.

An op is a frozen dataclass with its shape, parameters, receptive field and cost.
A layer kind is a function: its signature is its argument table, its docstring its row in docs/language.md, and an example.
A file enters both in its own `KINDS` and `OPS`, and itself below.
"""

from __future__ import annotations

from collections.abc import Callable

from lnet.compiler.core.layer import Op

from . import (
    crop,
    dense,
    depth,
    dropout,
    image,
    lcn,
    local,
    lrn,
    norm,
    pad,
    pointwise,
    pool,
    softmax,
    target,
    transposed,
    wiring,
)
from . import decode as decoding
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

_FILES = (
    image,
    target,
    local,
    decoding,
    transposed,
    pool,
    lcn,
    lrn,
    norm,
    pointwise,
    softmax,
    dense,
    dropout,
    crop,
    pad,
    depth,
    wiring,
)
FILES = tuple(file.__name__.rpartition(".")[2] for file in _FILES)
"""Their names, which the files of kernels and of tests have, too."""
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
