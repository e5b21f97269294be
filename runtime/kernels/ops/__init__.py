"""The kernels of the ops: a file for each file of `compiler/ops`, of the same name, whose `KERNELS` has them by kind."""

from __future__ import annotations

from importlib import import_module

from lnet.compiler import ops
from lnet.compiler.core.layer import Op
from lnet.compiler.ops.custom import Neighbourhood, PerPosition
from lnet.runtime.kernels import custom

from . import line, totals
from .base import LayerKernel

LAYER_KERNELS: dict[str, LayerKernel] = {
    kind: kernel for name in ops.FILES for kind, kernel in import_module(f"{__name__}.{name}").KERNELS.items()
}
TILE_KERNELS = line.KERNELS | totals.KERNELS


def layer_kernel(op: Op) -> LayerKernel:
    """Return the function that computes an op, built-in or a plug-in's."""
    if isinstance(op, PerPosition):
        return custom.per_position
    if isinstance(op, Neighbourhood):
        return custom.neighbourhood
    return TILE_KERNELS[op.kind] if op.kind in TILE_KERNELS else LAYER_KERNELS[op.kind]
