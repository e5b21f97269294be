"""Preferences as coloured sheets, one for each map: the hue says what, its fullness how much."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from .gratings import Preference
from .neurons import Array
from .report.curves import literal

MAPS = 16
"""Maps that a picture shows; the arrays beside it hold all."""
ACROSS = 8
GREY = np.array([0.85, 0.85, 0.85])


def orientation_picture(preference: Preference) -> bytes:
    """Return a PNG file of preferred orientations on a circle of hues; neurons that prefer none are grey."""
    circle = mpl.colormaps["hsv"]
    colours = _faded(circle(preference.orientation / 180)[..., :3], preference.selectivity)

    def key(figure: Figure, panels: list[Axes]) -> None:
        scale = ScalarMappable(Normalize(0, 180), circle)
        bar = figure.colorbar(scale, ax=panels, ticks=range(0, 181, 45), aspect=12, fraction=0.05)
        bar.set_label("orientation of bars, degrees", fontsize="small")

    return _maps(colours, key)


def class_picture(classes: tuple[str, ...], preferred: NDArray[np.int64], strength: Array) -> bytes:
    """Return a PNG file of preferred classes in a colour each; neurons that prefer none are grey."""
    spread = mpl.colormaps["turbo"](np.linspace(0.08, 0.92, len(classes)))[:, :3]
    colours = _faded(spread[preferred], strength)

    def key(figure: Figure, panels: list[Axes]) -> None:
        patches = [
            Patch(color=colour, label=literal(name)) for name, colour in zip(classes, spread, strict=True)
        ]
        figure.legend(handles=patches, loc="outside lower center", ncols=6, frameon=False, fontsize="small")

    return _maps(colours, key)


def _faded(colours: Array, weight: Array) -> Array:
    """Blend colours with grey: full from the 95th percentile of the weights on."""
    full = float(np.quantile(weight, 0.95)) or 1.0
    share = np.clip(weight / full, 0, 1)[..., None]
    faded: Array = share * colours + (1 - share) * GREY
    return faded


def _maps(colours: Array, key: Callable[[Figure, list[Axes]], None]) -> bytes:
    """Draw the colours `[row, column, map, 3]` of each map."""
    shown = min(MAPS, colours.shape[2])
    columns = min(ACROSS, shown)
    rows = -(-shown // columns)
    figure = Figure(figsize=(max(4.0, 1.3 * columns + 0.9), 1.5 * rows + 0.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for map_, axes in enumerate(panels):
        axes.set_axis_off()
        if map_ < shown:
            axes.imshow(colours[:, :, map_], interpolation="nearest")
            axes.set_title(f"map {map_}", fontsize="small")
    key(figure, panels)
    file = BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
