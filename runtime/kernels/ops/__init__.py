"""The kernels of the ops: a file for each file of `compiler/ops`, of the same name, whose `KERNELS` has them by kind."""

from __future__ import annotations

from collections import ChainMap
from importlib import import_module

import jax

from lnet.compiler import ops
from lnet.compiler.core.layer import Op
from lnet.compiler.ops import BatchNorm
from lnet.compiler.ops.custom import PerPosition, ProjectiveField, ReceptiveField
from lnet.compiler.ops.totals import Totals
from lnet.runtime.kernels import custom
from lnet.runtime.kernels.mode import Mode

from . import line, norm, side, totals
from .base import LayerKernel, Roles, Values

LAYER_KERNELS: dict[str, LayerKernel] = {
    kind: kernel for name in ops.FILES for kind, kernel in import_module(f"{__name__}.{name}").KERNELS.items()
}
_ALL = ChainMap(line.KERNELS, totals.KERNELS, side.KERNELS, LAYER_KERNELS)


def layer_kernel(op: Op) -> LayerKernel:
    """Return the function that computes an op, built-in or a plug-in's."""
    if isinstance(op, PerPosition):
        return custom.per_position
    if isinstance(op, ReceptiveField):
        return custom.receptive_field
    if isinstance(op, ProjectiveField):
        return custom.projective_field
    return _ALL[op.kind]


def computed(op: Op, values: Values, params: Roles, precision: str, mode: Mode) -> jax.Array:
    """Return the value of an op; raises `LnetError` where a plug-in's function fails."""
    kernel = layer_kernel(op)
    return (
        kernel(op, values, params, precision, mode) if op.has_mode else kernel(op, values, params, precision)
    )


def observed(op: Op, values: Values, value: jax.Array) -> dict[str, jax.Array]:
    """Return what a training step adds to the running values of a layer by role, or a tile's part of it."""
    if isinstance(op, BatchNorm):
        return norm.observed(op, values[0])
    return totals.observed(op, value) if isinstance(op, Totals) and op.batch else {}
