"""How preferences are laid out over a sheet of units `[row, column]`: pinwheels, clusters, entropy, spectrum.

With `wrap` the sheet is a torus, as `smooth(wrap = true)` makes it. Angles of orientation are doubled before they are
compared, since 0 and 180 degrees are the same bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
BINS = 8
"""Orientations are counted in so many bins."""


# --- pinwheels -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pinwheels:
    """Points around which all orientations are met once: `signs` `[row, column]` of the squares of 2 x 2 units.

    1 where orientation turns counter-clockwise on a counter-clockwise path, -1 where it turns the other way.
    """

    signs: NDArray[np.int64]

    @property
    def count(self) -> int:
        return int(np.abs(self.signs).sum())

    @property
    def density(self) -> float:
        """Pinwheels per square of 2 x 2 units; 1/3 where orientations are random."""
        return self.count / self.signs.size if self.signs.size else nan


def pinwheels(orientation: Array, wrap: bool = False) -> Pinwheels:
    """Find the pinwheels of a map of orientations in degrees (winding numbers; Bonhoeffer & Grinvald 1991)."""
    angle = np.deg2rad(2 * np.asarray(orientation, float))
    if wrap:
        angle = np.pad(angle, ((0, 1), (0, 1)), mode="wrap")
    # Counter-clockwise on a page whose rows count downward: left, down, right, up from the top right corner.
    corners = (angle[:-1, 1:], angle[:-1, :-1], angle[1:, :-1], angle[1:, 1:])
    turns = sum(
        _shortest(after - before) for before, after in zip(corners, (*corners[1:], corners[0]), strict=True)
    )
    return Pinwheels(np.rint(np.asarray(turns) / (2 * np.pi)).astype(np.int64))


def _shortest(angle: Array) -> Array:
    """Return the same angles from -pi to pi; half a turn stays the turn that it is, so that a pair's two ways cancel."""
    found: Array = angle - 2 * np.pi * np.rint(angle / (2 * np.pi))
    return found


# --- clusters --------------------------------------------------------------------------------------------


def orientation_bins(orientation: Array, count: int = BINS) -> NDArray[np.int64]:
    """Return the bin of each orientation in degrees: the first is centred at 0."""
    nearest: NDArray[np.int64] = np.rint(np.asarray(orientation) / (180 / count)).astype(np.int64) % count
    return nearest


def cluster_radius(bins: NDArray[np.integer[Any]], wrap: bool = True) -> Array:
    """Return the radius r at which the window of (2 r + 1)^2 units around each unit has every bin that the sheet has.

    With `wrap`, NaN if that window is larger than the sheet. A cluster is about 2 r + 1 units across (Lu et al. 2025).
    """
    found = np.unique(bins)
    present = np.stack([bins == each for each in found])
    radius = np.full(bins.shape, nan)
    largest = (min(bins.shape) - 1) // 2 if wrap else max(bins.shape)
    for r in range(largest + 1):
        whole = np.all([_within(each, r, wrap) for each in present], axis=0)
        radius[np.isnan(radius) & whole] = r
        if not np.isnan(radius).any():
            break
    return radius


def _within(present: NDArray[np.bool_], r: int, wrap: bool) -> NDArray[np.bool_]:
    """Whether anything is present in the window around each unit."""
    counts = present.astype(np.int64)
    for axis in (0, 1):
        around = [(r, r) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(counts, around, mode="wrap") if wrap else np.pad(counts, around)
        sums = np.cumsum(np.insert(padded, 0, 0, axis=axis), axis=axis)
        upper, lower = (np.take(sums, range(s, s + counts.shape[axis]), axis=axis) for s in (2 * r + 1, 0))
        counts = upper - lower
    found: NDArray[np.bool_] = counts > 0
    return found


# --- entropy ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entropies:
    """Entropy of preferences in windows, in bits, and how far each window's middle lies from that of the sheet, in units."""

    eccentricity: Array
    entropy: Array

    @property
    def slope(self) -> float:
        """Bits per unit of eccentricity, by least squares; NaN for windows of one eccentricity."""
        if np.ptp(self.eccentricity) == 0:
            return nan
        return float(np.polyfit(self.eccentricity, self.entropy, 1)[0])


def entropies(bins: NDArray[np.integer[Any]], window: int, count: int = BINS) -> Entropies:
    """Return the entropy of the bins in the windows of `window` x `window` units that tile a sheet from its first corner.

    What the windows do not fill is left out. Raises ValueError for a window larger than the sheet.
    """
    rows, columns = bins.shape[0] // window, bins.shape[1] // window
    if not rows or not columns:
        raise ValueError(
            f"a window of {window} units is larger than a sheet of {bins.shape[0]}x{bins.shape[1]}"
        )
    tiles = bins[: rows * window, : columns * window].reshape(rows, window, columns, window)
    each = tiles.swapaxes(1, 2).reshape(rows * columns, -1)
    shares = np.stack([np.bincount(one, minlength=count) for one in each]) / window**2
    entropy = -np.sum(shares * np.log2(np.where(shares > 0, shares, 1)), axis=1)
    middles = [
        (np.arange(n) + 0.5) * window - extent / 2
        for n, extent in zip((rows, columns), bins.shape, strict=True)
    ]
    return Entropies(np.hypot(middles[0][:, None], middles[1][None, :]).ravel(), entropy)


# --- spectrum --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spectrum:
    """Power of a map by frequency, in cycles per unit, averaged over directions; the map's mean is left out.

    `mean_frequency` weights frequencies by power; `roughness` divides it by that of white noise: 1 for noise, near 0 for a
    smooth map.
    """

    frequency: Array
    power: Array
    mean_frequency: float
    roughness: float


def spectrum(values: NDArray[Any]) -> Spectrum:
    """Return the radial profile of a map's Fourier spectrum; of orientations give `orientation_field`."""
    power = np.abs(np.fft.fft2(values - values.mean())) ** 2
    rows, columns = (np.fft.fftfreq(extent) for extent in values.shape)
    frequency = np.hypot(rows[:, None], columns[None, :])
    step = 1 / max(values.shape)
    ring = np.rint(frequency / step).astype(np.int64)
    inside = (ring > 0) & (frequency <= 0.5)
    counts = np.bincount(ring[inside])
    profile = np.bincount(ring[inside], power[inside]) / np.maximum(counts, 1)
    known = counts > 0
    others = np.arange(power.size).reshape(power.shape) > 0  # all but the mean
    total = power[others].sum()
    mean = float((frequency * power)[others].sum() / total) if total else nan
    return Spectrum(
        np.flatnonzero(known) * step, profile[known], mean, mean / float(frequency[others].mean())
    )


def orientation_field(
    orientation: Array, selectivity: Array | None = None
) -> NDArray[np.complexfloating[Any]]:
    """Return orientations in degrees as complex numbers of doubled angle, of length 1 or as long as their selectivity."""
    field: NDArray[np.complexfloating[Any]] = np.exp(2j * np.deg2rad(np.asarray(orientation, float)))
    return field if selectivity is None else field * selectivity
