"""Normalisation: mean and variance over groups of maps."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Interval, Region
from lnet.compiler.ops.norm import Affine, LayerNorm

from .base import LayerKernel, Roles, Values


def layernorm(op: LayerNorm, values: Values, params: Roles, precision: str) -> jax.Array:
    """Normalise `[rows, columns, maps, batch]`, each image alone."""
    (x,) = values
    grouped = x.reshape(*x.shape[:2], op.groups, -1, x.shape[3])
    axes = (0, 1, 3) if op.everywhere else (3,)
    centred = grouped - jnp.mean(grouped, axes, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axes, keepdims=True)
    y = (centred / jnp.sqrt(variance + op.eps)).reshape(x.shape)
    return scaled(y, params, op.affine, op.within, Interval(0, op.reads_sheet.maps))


def scaled(y: jax.Array, params: Roles, affine: Affine, within: Region, maps: Interval) -> jax.Array:
    """Apply factors and summands to some maps at the positions `within` a sheet."""

    def part(role: str) -> jax.Array:
        array = params[role]
        if (
            array.ndim > 1 and not affine.of_positions
        ):  # positions have their own, but the other array is shared
            array = array[_slice(within.rows), _slice(within.columns)]
        return array[..., _slice(maps), None]

    y = y * part("scale") if affine.scale else y
    return y + part("shift") if affine.shift else y


def _slice(interval: Interval) -> slice:
    return slice(interval.start, interval.stop)


KERNELS: dict[str, LayerKernel] = {"layernorm": layernorm}
