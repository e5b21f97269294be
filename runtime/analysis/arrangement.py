"""How a layer's preferences are arranged over its sheet of units, or without a patch over that of each map."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Size
from lnet.compiler.graph.graph import Graph
from lnet.runtime.engine.units import in_units

from .gratings import Preference
from .topography import (
    Array,
    cluster_radius,
    entropies,
    orientation_bins,
    orientation_field,
    pinwheels,
    spectrum,
)

WINDOWS = 6
"""Entropy is taken in windows of a sixth of the sheet's shorter side, at least 4 units."""


@dataclass(frozen=True)
class Arrangement:
    """Measures of orientation maps, means over sheets (topography.py); None where a sheet is too small.

    `pinwheels`: their number; `pinwheel_density`: per square of 2 x 2 units (1/3 at random); `cluster_radius`: in units,
    until all orientations are met; `roughness`: mean frequency over that of white noise; `entropy_slope`: bits per unit from
    the middle. `wrap`: on a torus.
    """

    sheets: int
    wrap: bool
    pinwheels: float
    pinwheel_density: float | None
    cluster_radius: float | None
    roughness: float | None
    entropy_slope: float | None

    @property
    def summary(self) -> str:
        parts = [f"{self.pinwheels:,.0f} pinwheels"]
        if self.roughness is not None:
            parts.append(f"roughness {self.roughness:.2f} (1 at random)")
        if self.cluster_radius is not None:
            parts.append(f"all orientations within {self.cluster_radius:.1f} units")
        return ", ".join(parts)


@dataclass(frozen=True)
class Topography:
    """What an arrangement sums up, over the sheets of a layer; None where a sheet is too small.

    `pinwheels` `[row, column, sheet]`: their signs, by square of 2 x 2 units. `cluster_radius` `[row, column, sheet]`.
    `eccentricity` `[window]` and `entropy` `[window, sheet]`. `frequency` `[ring]` and `power` `[ring, sheet]`: the radial
    profile of the Fourier spectrum of orientations, as long as their selectivity. `roughness`, `slopes`: of each sheet.
    """

    wrap: bool
    pinwheels: NDArray[np.int64]
    cluster_radius: Array
    eccentricity: Array | None
    entropy: Array | None
    frequency: Array
    power: Array
    roughness: Array
    slopes: Array

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names of files."""
        named = {
            "pinwheels": self.pinwheels.astype(np.int8),
            "cluster_radius": self.cluster_radius,
            "entropy_eccentricity": self.eccentricity,
            "entropy": self.entropy,
            "spectrum_frequency": self.frequency,
            "spectrum_power": self.power,
        }
        return {name: array for name, array in named.items() if array is not None}

    @property
    def arrangement(self) -> Arrangement:
        """The measures, means over sheets."""
        signs = np.abs(self.pinwheels)
        return Arrangement(
            signs.shape[-1],
            self.wrap,
            float(signs.sum((0, 1)).mean()),
            _mean(signs),
            _mean(self.cluster_radius),
            _mean(self.roughness),
            _mean(self.slopes),
        )


def topography(preference: Preference, patch: Size | None, wrap: bool) -> Topography | None:
    """Return how preferred orientations lie over a layer's sheets; None for sheets of less than 2 x 2 units."""
    angles, selectivity = in_units(preference.orientation, patch), in_units(preference.selectivity, patch)
    if min(angles.shape[:2]) < 2:
        return None
    sheets = range(angles.shape[2])
    bins = [orientation_bins(angles[..., k]) for k in sheets]
    window = max(4, min(angles.shape[:2]) // WINDOWS)
    fits = window <= min(angles.shape[:2])
    windows = [entropies(each, window) for each in bins] if fits else []
    fields = [orientation_field(angles[..., k], selectivity[..., k]) for k in sheets]
    spectra = [spectrum(field) for field in fields]
    flat = [not np.ptp(np.abs(field - field.mean())) for field in fields]
    return Topography(
        wrap,
        np.stack([pinwheels(angles[..., k], wrap).signs for k in sheets], -1),
        np.stack([cluster_radius(each, wrap) for each in bins], -1),
        windows[0].eccentricity if fits else None,
        np.stack([each.entropy for each in windows], -1) if fits else None,
        spectra[0].frequency,
        np.stack([each.power for each in spectra], -1),
        np.where(flat, nan, [each.roughness for each in spectra]),
        np.array([each.slope for each in windows]),
    )


def wraps(graph: Graph, path: str) -> bool:
    """Whether an objective makes the sheet of a layer smooth around a torus."""
    return any(getattr(o.term, "wrap", False) for o in graph.objectives if path in o.reads)


def _mean(values: object) -> float | None:
    """Return the mean of what is finite; None if nothing is."""
    array = np.asarray(values, float)
    finite = array[np.isfinite(array)]
    return float(finite.mean()) if finite.size else None
