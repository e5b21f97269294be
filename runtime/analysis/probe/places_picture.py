"""Maps of accuracies at places, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lnet.runtime.analysis.plots import literal

Maps = NDArray[np.floating[Any]]
ACROSS = 6
LABELS = 24
"""Labels that a picture shows, those first whose accuracies vary most; the arrays beside it have all."""


def maps_figure(maps: Mapping[str, Maps], title: str = "") -> Figure:
    """Return a figure of maps `[row, column]` by name, each on its own scale: people and networks differ in level."""
    return _panels(maps, title, shared=False)


def labels_figure(labels: Sequence[str], by_label: Maps, title: str = "") -> Figure:
    """Return a figure of the maps `[label, row, column]` of one run, on one scale."""
    shown = np.argsort(-np.ptp(by_label, axis=(1, 2)), kind="stable")[:LABELS]
    left = len(labels) - len(shown)
    more = f" ({left} more labels in the arrays)" if left else ""
    return _panels({labels[k]: by_label[k] for k in shown}, title + more, shared=True)


def _panels(maps: Mapping[str, Maps], title: str, shared: bool) -> Figure:
    columns = min(ACROSS, len(maps))
    rows = -(-len(maps) // columns)
    figure = Figure(figsize=(max(4.0, 1.9 * columns), 1.9 * rows + 0.4), dpi=100, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    ends = {"vmin": 0, "vmax": max(float(each.max()) for each in maps.values()) or 1} if shared else {}
    for axes, (name, each) in zip(grid, maps.items(), strict=False):
        image = axes.imshow(100 * each, "viridis", **{end: 100 * value for end, value in ends.items()})
        axes.set_title(literal(name), fontsize="small")
        if not shared:
            figure.colorbar(image, ax=axes, shrink=0.7)
    if shared:
        figure.colorbar(image, ax=list(grid), label="accuracy in %", shrink=0.8)
    if title:
        figure.suptitle(literal(title), fontsize="medium")
    return figure
