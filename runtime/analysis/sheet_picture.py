"""Preferences as coloured sheets, one for each map: hue shows the preference, saturation its strength; with a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .colours import class_colours, faded, orientation_colours
from .gratings import Preference
from .neurons import Array
from .plots import literal

MAPS = 16
"""Maps that a picture shows; the arrays beside it hold all."""
ACROSS = 8
SHADES = 24
"""Steps of the key from no preference to a full one."""


def orientation_figure(preference: Preference, title: str = "") -> Figure:
    """Return a figure of preferred orientations on a circle of colours; neurons that prefer none are grey."""
    full = _full(preference.selectivity)
    colours = faded(orientation_colours(preference.orientation), preference.selectivity / full)
    circle = orientation_colours(np.arange(180) + 0.5)
    ticks = {float(place): f"{place}°" for place in range(0, 181, 45)}
    return _maps(colours, title, circle, ticks, "orientation of bars", "selectivity", full)


def class_figure(
    classes: Sequence[str], preferred: NDArray[np.int64], strength: Array, title: str = ""
) -> Figure:
    """Return a figure of preferred classes in a colour each; neurons that prefer none are grey.

    `strength` counts standard deviations above the mean response to all images.
    """
    full = _full(strength)
    spread = class_colours(len(classes))
    colours = faded(spread[preferred], strength / full)
    ticks = {place + 0.5: literal(name) for place, name in enumerate(classes)}
    return _maps(colours, title, spread, ticks, "class", "deviations", full)


def _full(weight: Array) -> float:
    """Return the weight at which colours reach full saturation: the 95th percentile."""
    return float(np.quantile(weight, 0.95)) or 1.0


def _maps(
    colours: Array,
    title: str,
    scale: Array,
    ticks: Mapping[float, str],
    what: str,
    how_much: str,
    full: float,
) -> Figure:
    """Draw the colours `[row, column, map, 3]` of each map, over a key: `scale` across, up to `full` upward."""
    maps = colours.shape[2]
    shown = min(MAPS, maps)
    columns = min(ACROSS, shown)
    rows = -(-shown // columns)
    figure = Figure(figsize=(max(4.5, 1.3 * columns), 1.5 * rows + 1.4), dpi=100, layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.5 * rows, 1.4])[:, 0]
    for map_, axes in enumerate(above.subplots(rows, columns, squeeze=False).ravel()):
        axes.set_axis_off()
        if map_ < shown:
            axes.imshow(colours[:, :, map_], interpolation="nearest")
            axes.set_title(
                f"map {map_}" + (f" of {maps}" if not map_ and shown < maps else ""), fontsize="small"
            )
    key = below.subplots()
    weights = (np.arange(SHADES) + 0.5) / SHADES
    shades = faded(np.broadcast_to(scale, (SHADES, *scale.shape)), weights[:, None])
    key.imshow(
        shades, origin="lower", aspect="auto", extent=(0, len(scale), 0, full), interpolation="nearest"
    )
    key.set_xticks(list(ticks), list(ticks.values()), rotation=0 if len(ticks) < 7 else 60, fontsize="small")
    key.set_yticks([0, full], ["0", f"{full:.2g} or more"], fontsize="small")
    key.set_xlabel(what, fontsize="small")
    key.set_ylabel(how_much, fontsize="small")
    if title:
        above.suptitle(literal(title), fontsize="medium")
    return figure
