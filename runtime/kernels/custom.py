"""The kernels of a plug-in's layers and objectives: its function, applied to positions, fields or values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Slide, Window
from lnet.compiler.objectives import PerValue
from lnet.compiler.ops.custom import PerPosition, ProjectiveField, ReceptiveField
from lnet.dsl.diagnostics import refused

Weights = Mapping[str, jax.Array]


def per_position(op: PerPosition, values: Sequence[jax.Array], weights: Weights, precision: str) -> jax.Array:
    """Apply a function to every position."""
    (x,) = values
    return _value(op, (*x.shape[:2], op.sheet.maps, x.shape[3]), x, **weights)


def receptive_field(
    op: ReceptiveField, values: Sequence[jax.Array], weights: Weights, precision: str
) -> jax.Array:
    """Apply a function to fields; beyond the border of the sheet there are zeros."""
    (x,) = values
    inside = jnp.ones((*x.shape[:2], 1, 1), x.dtype)
    shape = (op.sheet.height, op.sheet.width, op.sheet.maps, x.shape[3])
    return _value(op, shape, _padded(x, op.window), _padded(inside, op.window), **weights)


def projective_field(
    op: ProjectiveField, values: Sequence[jax.Array], weights: Weights, precision: str
) -> jax.Array:
    """Apply a function to positions, and add up the fields that they write."""
    (x,) = values
    rows, columns, size = op.window.rows, op.window.columns, op.window.field
    shape = (*x.shape[:2], size.rows, size.columns, op.sheet.maps, x.shape[3])
    fields = _value(op, shape, x, **weights)
    return _added(_added(fields, columns, 1), rows, 0)


def _added(fields: jax.Array, slide: Slide, axis: int) -> jax.Array:
    """Add up what fields write along an axis; the field's own axis, two behind it, goes."""
    total = jnp.zeros((), fields.dtype)
    for number in range(slide.field):
        part = jax.lax.index_in_dim(fields, number, axis + 2, keepdims=False)
        before = number * slide.dilation - slide.before
        after = slide.extent - before - (slide.outputs - 1) * slide.stride - 1
        around = [(0, 0, 0)] * part.ndim
        around[axis] = (before, after, slide.stride - 1)
        total = total + jax.lax.pad(part, jnp.zeros((), part.dtype), around)
    return total


def _padded(x: jax.Array, window: Window) -> jax.Array:
    """Return what the fields read, with the zeros around it, and without inputs behind the last field."""
    around = [
        (slide.before, slide.reach - slide.before - slide.extent, 0)
        for slide in (window.rows, window.columns)
    ]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [*around, (0, 0, 0), (0, 0, 0)])


def per_value(term: PerValue, values: Sequence[jax.Array]) -> jax.Array:
    """Apply a function to each value."""
    (x,) = values
    return _value(term, x.shape, x)


def _value(
    of: PerPosition | ReceptiveField | ProjectiveField | PerValue,
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
            f"the axes are row, column, {'field row, field column, ' if len(shape) == 6 else ''}map, image",
        )
    return found


def _extents(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"
