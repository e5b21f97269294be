"""Preferences as coloured sheets, of all units or of each map: hue shows the preference, saturation its strength; a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Size
from lnet.runtime.engine.units import in_units

from .arrangement import Topography
from .colours import class_colours, faded, orientation_colours
from .gratings import Preference
from .moments import Energy
from .neurons import Array
from .plots import literal
from .topography import BINS

MAPS = 16
"""Maps that a picture shows; the arrays beside it hold all."""
ACROSS = 8
SHADES = 24
"""Steps of the key from no preference to a full one."""


FAINT = "#c8ccd2"
UNIT = 0.06
"""Inches of a unit in a sheet of units, whose side is at least LEAST and at most MOST."""
LEAST, MOST = 4.0, 10.0


def orientation_figure(preference: Preference, patch: Size | None = None, title: str = "") -> Figure:
    """Return a figure of preferred orientations on a circle of colours; neurons that prefer none are grey."""
    full = _full(preference.selectivity)
    colours = faded(orientation_colours(preference.orientation), preference.selectivity / full)
    circle = orientation_colours(np.arange(180) + 0.5)
    ticks = {float(place): f"{place}°" for place in range(0, 181, 45)}
    return _figure(colours, patch, title, circle, ticks, "orientation of bars", "selectivity", full)


def class_figure(
    classes: Sequence[str],
    preferred: NDArray[np.int64],
    strength: Array,
    patch: Size | None = None,
    title: str = "",
) -> Figure:
    """Return a figure of preferred classes in a colour each; neurons that prefer none are grey.

    `strength` counts standard deviations above the mean response to all images.
    """
    full = _full(strength)
    spread = class_colours(len(classes))
    colours = faded(spread[preferred], strength / full)
    ticks = {place + 0.5: literal(name) for place, name in enumerate(classes)}
    return _figure(colours, patch, title, spread, ticks, "class", "deviations", full)


LABELS = 24
"""Classes that a picture of d' shows, those with the largest values first."""


def dprime_figure(
    classes: Sequence[str], dprime: Array, patch: Size | None = None, title: str = ""
) -> Figure:
    """Return a figure of d' `[row, column, map, class]`: a sheet for each class, of the largest d' among the maps."""
    peak = np.array([np.nan_to_num(np.abs(dprime[..., k])).max() for k in range(len(classes))])
    shown = np.argsort(-peak, kind="stable")[:LABELS]
    full = float(peak.max()) or 1.0
    columns = min(ACROSS - 2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(max(4.5, 1.6 * columns + 0.8), 1.8 * rows + 0.5), dpi=100, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    scale = ScalarMappable(Normalize(-full, full), "RdBu_r")
    for axes, k in zip(grid.ravel(), shown, strict=False):
        axes.imshow(
            _largest(in_units(dprime[..., k], patch)), scale.cmap, scale.norm, interpolation="nearest"
        )
        axes.set_title(literal(classes[k]), fontsize="small")
    left = len(classes) - len(shown)
    what = "d' against all other classes" + (f" ({left} more classes in the arrays)" if left else "")
    figure.colorbar(scale, ax=list(grid.ravel()), label=what, shrink=0.8)
    if title:
        figure.suptitle(literal(title), fontsize="medium")
    return figure


def _largest(sheet: Array) -> Array:
    """Return the value of the largest size at each place, over the maps of a layer without a patch."""
    sheet = np.nan_to_num(sheet)
    found: Array = np.take_along_axis(sheet, np.abs(sheet).argmax(-1)[..., None], -1)[..., 0]
    return found


COSTS = {
    "activation": "mean |response|",
    "transmission": "mean sum of |weight x input|",
    "energy": "1/3 activation + 2/3 transmission",
}


def energy_figure(energy: Energy, patch: Size | None = None, title: str = "") -> Figure:
    """Return a figure of the costs of neurons, a panel each; without a patch, of their mean over maps."""
    sheets = {name: in_units(costs, patch).mean(-1) for name, costs in energy.maps.items()}
    width, height = _inches(sheets["activation"])
    figure = Figure(figsize=((width + 1) * len(sheets), height), dpi=100, layout="constrained")
    for axes, (name, sheet) in zip(
        figure.subplots(1, len(sheets), squeeze=False)[0], sheets.items(), strict=True
    ):
        axes.set_axis_off()
        axes.set_title(name, fontsize="small")
        image = axes.imshow(sheet, "viridis", vmin=0, interpolation="nearest")
        figure.colorbar(image, ax=axes, label=COSTS[name], shrink=0.8)
    if title:
        figure.suptitle(literal(title), fontsize="medium")
    return figure


def arrangement_figure(lying: Topography, title: str = "") -> Figure:
    """Return a figure of a map's spectrum, its entropy by eccentricity, and its cluster radii, means over sheets."""
    figure = Figure(figsize=(9.6, 2.8), dpi=100, layout="constrained")
    spectrum, windows, clusters = figure.subplots(1, 3)
    spectrum.plot(lying.frequency, lying.power, color=FAINT, linewidth=0.6)
    spectrum.plot(lying.frequency, lying.power.mean(1), linewidth=1.6)
    spectrum.set(xlabel="frequency, cycles per unit", ylabel="power", yscale="log")
    if lying.eccentricity is not None and lying.entropy is not None:
        windows.scatter(lying.eccentricity, lying.entropy.mean(1), s=8)
        windows.set_ylim(0, np.log2(BINS) * 1.05)
    windows.set(xlabel="units from the middle", ylabel="entropy of orientations, bits")
    radii = lying.cluster_radius[np.isfinite(lying.cluster_radius)]
    if radii.size:
        edges = np.arange(radii.min(), radii.max() + 2) - 0.5
        clusters.stairs(100 * np.histogram(radii, edges)[0] / radii.size, edges, fill=True)
    clusters.set(xlabel="units until all orientations are met", ylabel="% of units")
    for axes in (spectrum, windows, clusters):
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(literal(title), fontsize="medium")
    return figure


def _full(weight: Array) -> float:
    """Return the weight at which colours reach full saturation: the 95th percentile."""
    return float(np.quantile(weight, 0.95)) or 1.0


def _figure(
    colours: Array,
    patch: Size | None,
    title: str,
    scale: Array,
    ticks: Mapping[float, str],
    what: str,
    how_much: str,
    full: float,
) -> Figure:
    """Draw the colours `[row, column, map, 3]` of neurons over a key: `scale` across, up to `full` upward."""
    sheets, names = _sheets(colours, patch)
    columns = min(ACROSS, len(sheets))
    rows = -(-len(sheets) // columns)
    across, down = _inches(sheets[0]) if patch else (1.3 * columns, 1.5 * rows)
    figure = Figure(figsize=(max(4.5, across), down + 1.4), dpi=100, layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[down, 1.4])[:, 0]
    for axes in above.subplots(rows, columns, squeeze=False).ravel():
        axes.set_axis_off()
    for axes, sheet, name in zip(above.axes, sheets, names, strict=False):
        axes.imshow(sheet, interpolation="nearest")
        axes.set_title(name, fontsize="small")
    _key(below.subplots(), scale, ticks, what, how_much, full)
    if title:
        above.suptitle(literal(title), fontsize="medium")
    return figure


def _sheets(colours: Array, patch: Size | None) -> tuple[list[Array], list[str]]:
    """Return the sheet of units, or those of the first maps, with their names."""
    units = in_units(colours, patch)
    if patch is not None:
        return [units[:, :, 0]], [f"{units.shape[0]}x{units.shape[1]} units"]
    maps = units.shape[2]
    shown = range(min(MAPS, maps))
    return [units[:, :, map_] for map_ in shown], [
        f"map {map_}" + (f" of {maps}" if not map_ and len(shown) < maps else "") for map_ in shown
    ]


def _inches(sheet: Array) -> tuple[float, float]:
    """Return width and height of a sheet of units."""
    longer = max(sheet.shape[:2])
    unit = min(MOST, max(LEAST, UNIT * longer)) / longer
    return unit * sheet.shape[1], unit * sheet.shape[0] + 0.5


def _key(axes: Axes, scale: Array, ticks: Mapping[float, str], what: str, how_much: str, full: float) -> None:
    weights = (np.arange(SHADES) + 0.5) / SHADES
    shades = faded(np.broadcast_to(scale, (SHADES, *scale.shape)), weights[:, None])
    extent = (0, len(scale), 0, full)
    axes.imshow(shades, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
    axes.set_xticks(list(ticks), list(ticks.values()), rotation=0 if len(ticks) < 7 else 60, fontsize="small")
    axes.set_yticks([0, full], ["0", f"{full:.2g} or more"], fontsize="small")
    axes.set_xlabel(what, fontsize="small")
    axes.set_ylabel(how_much, fontsize="small")
