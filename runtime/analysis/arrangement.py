"""How a layer's preferences are arranged over its sheet of units, or without a patch over that of each map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lnet.compiler.core.shapes import Size
from lnet.compiler.graph.graph import Graph
from lnet.runtime.engine.units import in_units

from .gratings import Preference
from .topography import cluster_radius, entropies, orientation_bins, orientation_field, pinwheels, spectrum

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


def arrangement(preference: Preference, patch: Size | None, wrap: bool) -> Arrangement | None:
    """Return how preferred orientations are arranged; None for sheets of less than 2 x 2 units."""
    angles, selectivity = in_units(preference.orientation, patch), in_units(preference.selectivity, patch)
    if min(angles.shape[:2]) < 2:
        return None
    sheets = range(angles.shape[2])
    found = [pinwheels(angles[..., k], wrap) for k in sheets]
    window = max(4, min(angles.shape[:2]) // WINDOWS)
    bins = [orientation_bins(angles[..., k]) for k in sheets]
    slopes = [entropies(each, window).slope for each in bins] if window <= min(angles.shape[:2]) else []
    fields = [orientation_field(angles[..., k], selectivity[..., k]) for k in sheets]
    return Arrangement(
        len(found),
        wrap,
        float(np.mean([each.count for each in found])),
        _mean([each.density for each in found]),
        _mean(np.concatenate([cluster_radius(each, wrap).ravel() for each in bins])),
        _mean([spectrum(field).roughness for field in fields if np.ptp(np.abs(field - field.mean()))]),
        _mean(slopes),
    )


def wraps(graph: Graph, path: str) -> bool:
    """Whether an objective makes the sheet of a layer smooth around a torus."""
    return any(getattr(o.term, "wrap", False) for o in graph.objectives if path in o.reads)


def _mean(values: object) -> float | None:
    """Return the mean of what is finite; None if nothing is."""
    array = np.asarray(values, float)
    finite = array[np.isfinite(array)]
    return float(finite.mean()) if finite.size else None
