"""Similarity of neighbours in a sheet, compared with random pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lnet.compiler.core.shapes import Size
from lnet.runtime.engine.units import in_units

from .neurons import Array

PAIRS = 10_000
"""Random pairs that neighbours are compared with."""


@dataclass(frozen=True, slots=True)
class Resemblance:
    """The mean cosine or correlation of neighbouring neurons, and of random pairs.

    Neighbours `among` positions are of one map; those among units are neighbours in a sheet of patches.
    """

    of: str
    neighbours: float
    random: float
    among: str = "positions"

    @property
    def summary(self) -> str:
        pairs = f"{self.neighbours:.2f} between neighbours, {self.random:.2f} between random {self.among}"
        return f"{self.of} {pairs}"


def resemblance(
    weights: Array | None, tuned: Array, seed: int, patch: Size | None = None
) -> Resemblance | None:
    """Compare weights `[row, column, ..., map]`, or without weights, tuning `[orientation, period, row, column, map]`.

    None where there are no neighbours.
    """
    if weights is not None:
        of, vectors = "cosine of weights", weights.reshape(*weights.shape[:2], -1, weights.shape[-1])
    else:
        curves = np.moveaxis(tuned.reshape(-1, *tuned.shape[2:]), 0, 2)
        of, vectors = "correlation of tuning", curves - curves.mean(2, keepdims=True)
    if patch is not None:
        vectors = in_units(vectors.swapaxes(2, 3), patch).swapaxes(2, 3)
    if vectors.shape[0] * vectors.shape[1] < 2:
        return None
    return Resemblance(of, *neighbour_similarity(vectors, seed), "units" if patch else "positions")


def neighbour_similarity(vectors: Array, seed: int = 0) -> tuple[float, float]:
    """Return the mean cosine of vectors `[row, column, feature, map]` at neighbouring positions, and at random ones.

    Neighbours are adjacent in a row or a column; both of a pair are of one map. Zero vectors have no direction and are left
    out; the mean over no pairs is 0.
    """
    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    units = np.where(length > 0, vectors / np.where(length > 0, length, 1), np.nan)
    beside, below = units[:, 1:] * units[:, :-1], units[1:] * units[:-1]
    neighbours = np.concatenate([pair.sum(2).ravel() for pair in (beside, below)])
    flat = units.reshape(-1, *units.shape[2:])
    rng = np.random.default_rng(seed)
    one = rng.integers(len(flat), size=PAIRS)
    other = (one + rng.integers(1, len(flat), size=PAIRS)) % len(flat)  # never `one` itself
    maps = rng.integers(flat.shape[-1], size=PAIRS)
    return _mean(neighbours), _mean((flat[one, :, maps] * flat[other, :, maps]).sum(1))


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else 0.0
