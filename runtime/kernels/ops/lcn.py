"""Local contrast normalisation: subtract a Gaussian mean, divide by a Gaussian deviation.

`g = h - sum(G * h)`; `y = g / sqrt(max(floor^2, sum(G * g^2)))` (Jarrett et al. 2009, as in Le et al. 2012). `G` is
separable; at the border the part of it that lies inside is rescaled to sum 1, which is a product of the two axes'
scales. A sum along one axis is a product with a banded matrix, so that any field, wider than the sheet even, costs
the same to compile: one of two axes for rows, which XLA's CPU backend runs fast, and a batch of them for columns.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lnet.compiler.core.shapes import Interval, Region, Size
from lnet.runtime.kernels.products import EXACT

from .base import LayerKernel


def lcn(
    h: jax.Array, field: Size, sigma: tuple[float, float], across: bool, floor: float, within: Region
) -> jax.Array:
    """Normalise `[rows, columns, maps, batch]`; the result has the positions `within`."""
    near = within.grow(field.rows // 2, field.columns // 2).clip(
        Size(h.shape[0], h.shape[1])
    )  # where g is needed
    bands = gaussians(h.shape[0], field.rows, sigma[0]), gaussians(h.shape[1], field.columns, sigma[1])
    g = _part(h, near) - _mean(h, _rows(bands, near), across)
    inner = (
        gaussians(near.size.rows, field.rows, sigma[0]),
        gaussians(near.size.columns, field.columns, sigma[1]),
    )
    here = within.within(near)
    variance = _mean(jnp.square(g), _rows(inner, here), across)
    return _part(g, here) / jnp.sqrt(jnp.maximum(floor**2, variance))


def _part(h: jax.Array, region: Region) -> jax.Array:
    return h[_slice(region.rows), _slice(region.columns)]


def _slice(interval: Interval) -> slice:
    return slice(interval.start, interval.stop)


def _rows(bands: tuple[np.ndarray, np.ndarray], region: Region) -> tuple[np.ndarray, np.ndarray]:
    return bands[0][_slice(region.rows)], bands[1][_slice(region.columns)]


def _mean(h: jax.Array, bands: tuple[np.ndarray, np.ndarray], across: bool) -> jax.Array:
    """Return the Gaussian mean around each position, over all maps or over each alone."""
    if across:
        h = jnp.mean(h, axis=2, keepdims=True)
    rows, columns = (jnp.asarray(band, h.dtype) for band in bands)
    down = jnp.matmul(rows, h.reshape(h.shape[0], -1), precision=EXACT).reshape(len(rows), h.shape[1], -1)
    means = jnp.einsum("jx,ixk->ijk", columns, down, precision=EXACT)
    return means.reshape(len(rows), len(columns), *h.shape[2:])


def gaussians(extent: int, field: int, sigma: float) -> np.ndarray:
    """Return the weights that each position gives its neighbours along one axis: `[extent, extent]`, rows sum to 1."""
    distance = np.arange(extent)[:, None] - np.arange(extent)[None, :]
    weights = np.exp(-(distance**2) / (2 * sigma**2)) * (np.abs(distance) <= field // 2)
    band: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return band


KERNELS: dict[str, LayerKernel] = {
    "lcn": lambda op, values, params, precision: lcn(
        values[0], op.field, op.sigma, op.across, op.floor, op.within
    )
}
