"""Normalisation: mean and variance over groups of maps, or of each map over a batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Interval
from lnet.compiler.ops.norm import BatchNorm, LayerNorm
from lnet.runtime.kernels.mode import Mode

from .base import LayerKernel, Roles, Values


def layernorm(op: LayerNorm, values: Values, params: Roles, precision: str) -> jax.Array:
    """Normalise `[rows, columns, maps, batch]`, each image alone."""
    (x,) = values
    grouped = x.reshape(*x.shape[:2], op.groups, -1, x.shape[3])
    axes = (0, 1, 3) if op.everywhere else (3,)
    centred = grouped - jnp.mean(grouped, axes, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axes, keepdims=True)
    y = (centred / jnp.sqrt(variance + op.eps)).reshape(x.shape)
    return scaled(y, params, Interval(0, op.reads_sheet.maps))


def batchnorm(op: BatchNorm, values: Values, params: Roles, precision: str, mode: Mode) -> jax.Array:
    """Normalise each map over `[rows, columns, batch]`, in training by the batch's own mean and variance."""
    x = op_maps(values[0], op.of_line)
    if mode.by_batch:
        mean, variance = batch_statistics(op, values[0]).values()
    else:
        mean, variance = (params[role][_slice(op.maps)] for role in ("mean", "variance"))
    y = (x - mean[:, None]) / jnp.sqrt(variance[:, None] + op.eps)
    return scaled(y, params, op.maps).reshape(values[0].shape)


def batch_statistics(op: BatchNorm, x: jax.Array) -> dict[str, jax.Array]:
    """Return mean and biased variance of each of the op's maps over batch and positions, by role."""
    x = op_maps(x, op.of_line)
    mean = jnp.mean(x, (0, 1, 3))
    return {"mean": mean, "variance": jnp.mean(jnp.square(x - mean[:, None]), (0, 1, 3))}


def op_maps(x: jax.Array, of_line: bool) -> jax.Array:
    """Return values as `[rows, columns, maps, batch]`, also those of a vector in a line."""
    return x.reshape(1, 1, -1, x.shape[-1]) if of_line else x


def observed(op: BatchNorm, x: jax.Array) -> dict[str, jax.Array]:
    """Return what a batch adds to the running values by role, `[maps]` of the whole: 0 of maps that are not the op's."""
    around = (op.maps.start, op.reads_sheet.maps - op.maps.stop)
    return {role: jnp.pad(found, around) for role, found in batch_statistics(op, x).items()}


def scaled(y: jax.Array, params: Roles, maps: Interval) -> jax.Array:
    """Apply the factors and summands of some maps, if there are."""
    y = y * params["scale"][..., _slice(maps), None] if "scale" in params else y
    return y + params["shift"][..., _slice(maps), None] if "shift" in params else y


def _slice(interval: Interval) -> slice:
    return slice(interval.start, interval.stop)


KERNELS: dict[str, LayerKernel] = {"layernorm": layernorm, "batchnorm": batchnorm}
