"""The kernels of a plug-in's layers and objectives: its function, applied to positions, neighbourhoods or values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from lnet.compiler.objectives import PerValue
from lnet.compiler.ops.custom import Neighbourhood, PerPosition
from lnet.dsl.diagnostics import refused

Weights = Mapping[str, jax.Array]


def per_position(op: PerPosition, values: Sequence[jax.Array], weights: Weights, precision: str) -> jax.Array:
    """Apply a function to every position."""
    (x,) = values
    return _value(op, (*x.shape[:2], op.maps, x.shape[3]), x, **weights)


def neighbourhood(
    op: Neighbourhood, values: Sequence[jax.Array], weights: Weights, precision: str
) -> jax.Array:
    """Apply a function to neighbourhoods; beyond the border of the sheet there are zeros."""
    (x,) = values
    rows = _span(x.shape[0], op.within.rows.start, op.within.rows.stop, op.reach.rows)
    columns = _span(x.shape[1], op.within.columns.start, op.within.columns.stop, op.reach.columns)
    inside = jnp.ones((*x.shape[:2], 1, 1), x.dtype)
    shape = (op.sheet.height, op.sheet.width, *x.shape[2:])
    return _value(op, shape, _cut(x, rows, columns), _cut(inside, rows, columns), **weights)


Span = tuple[slice, tuple[int, int]]
"""The existing positions along an axis, and the numbers of zeros before and after them."""


def _span(extent: int, start: int, stop: int, reach: int) -> Span:
    first, last = start - reach, stop + reach
    return slice(max(first, 0), min(last, extent)), (max(-first, 0), max(last - extent, 0))


def _cut(x: jax.Array, rows: Span, columns: Span) -> jax.Array:
    return jnp.pad(x[rows[0], columns[0]], (rows[1], columns[1], (0, 0), (0, 0)))


def per_value(term: PerValue, values: Sequence[jax.Array]) -> jax.Array:
    """Apply a function to each value."""
    (x,) = values
    return _value(term, x.shape, x)


def _value(
    of: PerPosition | Neighbourhood | PerValue,
    shape: tuple[int, ...],
    *arrays: jax.Array,
    **weights: jax.Array,
) -> jax.Array:
    """Return the result of a plug-in's function; raises `LnetError` if it fails or the result has the wrong shape."""
    found: jax.Array = of.value(*arrays, **weights)
    if jnp.shape(found) != shape:
        raise refused(
            "E610",
            f"'value' of the plug-in '{of.kind}' returned {_extents(jnp.shape(found))}, expected {_extents(shape)}",
            "the axes are row, column, map, image",
        )
    return found


def _extents(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"
