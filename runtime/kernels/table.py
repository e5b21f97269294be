"""The kernel table: one entry for each op of the compiler and each term of a loss.

A layer's kernel gets the op, its operands `[row, column, map, batch]`, its parameters by role and the precision of
products; a term's kernel gets what a tile counts of it, its operands, the weights that `smooth` compares, and the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Size
from lnet.compiler.cut.schedule import TermShare
from lnet.compiler.objectives import PerValue, Term
from lnet.compiler.ops import Local
from lnet.compiler.ops.custom import Neighbourhood, PerPosition

from . import custom, objectives
from .lcn import lcn
from .local import local, local_transpose
from .pool import avgpool, l2pool, maxpool
from .simple import activate, add, add_bias, crop, dense

Values = Sequence[jax.Array]
Roles = Mapping[str, jax.Array]
LayerKernel = Callable[[Any, Values, Roles, str], jax.Array]
TermKernel = Callable[[TermShare, Values, jax.Array | None, jax.Array | None], jax.Array]


def _local(op: Local, values: Values, params: Roles, precision: str) -> jax.Array:
    h = local(values[0], params["weight"], op.window, precision)
    return activate(add_bias(h, params["bias"]) if op.bias else h, op.act)


def _decode(op: Any, values: Values, params: Roles, precision: str) -> jax.Array:
    return local_transpose(values[0], params["weight"], op.window, precision)


def _dense(op: Any, values: Values, params: Roles, precision: str) -> jax.Array:
    return activate(dense(values[0], params["weight"], params.get("bias"), precision), op.act)


LAYER_KERNELS: dict[str, LayerKernel] = {
    "input": lambda op, values, params, precision: values[0],
    "local": _local,
    "decode": _decode,
    "l2pool": lambda op, values, params, precision: l2pool(values[0], op.window, op.eps),
    "maxpool": lambda op, values, params, precision: maxpool(values[0], op.window, op.zeros),
    "avgpool": lambda op, values, params, precision: avgpool(values[0], op.window),
    "lcn": lambda op, values, params, precision: lcn(
        values[0], op.field, op.sigma, op.across, op.floor, op.within
    ),
    "pointwise": lambda op, values, params, precision: activate(values[0], op.function),
    "dense": _dense,
    "crop": lambda op, values, params, precision: crop(values[0], op.start, op.size),
    "concat": lambda op, values, params, precision: jnp.concatenate(values, axis=2),
    "add": lambda op, values, params, precision: add(values),
}

TERM_KERNELS: dict[str, TermKernel] = {
    "squared_error": lambda share, values, weight, labels: objectives.squared_error(values[0], values[1]),
    "l1": lambda share, values, weight, labels: objectives.l1(values[0]),
    "l2": lambda share, values, weight, labels: objectives.l2(values[0]),
    "total": lambda share, values, weight, labels: objectives.total(values[0]),
    "smooth": lambda share, values, weight, labels: objectives.smooth(
        _needed(weight), _size(share.owned[0]), share.pairs
    ),
    "cross_entropy": lambda share, values, weight, labels: objectives.cross_entropy(
        values[0], _needed(labels)
    ),
    "one_vs_all": lambda share, values, weight, labels: objectives.one_vs_all(values[0], _needed(labels)),
}


def layer_kernel(op: Op) -> LayerKernel:
    """Return the kernel of an op; of one that a plug-in brought, its own function."""
    if isinstance(op, PerPosition):
        return custom.per_position
    if isinstance(op, Neighbourhood):
        return custom.neighbourhood
    return LAYER_KERNELS[op.kind]


def term_kernel(term: Term) -> TermKernel:
    """Return the kernel of a term; of one that a plug-in brought, its own function."""
    if isinstance(term, PerValue):
        return lambda share, values, weight, labels: custom.per_value(term, values)
    return TERM_KERNELS[term.kind]


def _size(region: Region | None) -> Size | None:
    return None if region is None else region.size


def _needed(array: jax.Array | None) -> jax.Array:
    assert array is not None, "labels and weights: the caller checks that terms get what they need"
    return array
