"""Dissimilarities and how alike they are, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lnet.runtime.analysis.plots import literal

from .comparison import Against
from .dissimilarity import Matrix

ACROSS = 4
NAMED = 30
"""At most so many conditions have their names beside a picture."""


def rdms_figure(rdms: Mapping[str, Matrix], names: Sequence[str], title: str) -> Figure:
    """Return a figure of dissimilarities, a panel for each layer, each on its own scale."""
    columns = min(ACROSS, len(rdms))
    rows = -(-len(rdms) // columns)
    figure = Figure(figsize=(max(4.0, 3.0 * columns), 2.8 * rows + 0.4), dpi=100, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(rdms) :]:
        axes.set_axis_off()
    for axes, (name, matrix) in zip(grid, rdms.items(), strict=False):
        image = axes.imshow(matrix, "viridis", interpolation="nearest")
        figure.colorbar(image, ax=axes, shrink=0.7)
        axes.set_title(literal(name), fontsize="small")
        shown = range(len(names)) if len(names) <= NAMED else ()
        labels = [literal(names[k]) for k in shown]
        size = 7 if len(names) <= NAMED // 2 else 5
        axes.set_yticks(list(shown), labels, fontsize=size)
        axes.set_xticks(list(shown), labels, fontsize=size, rotation=90)
    figure.suptitle(literal(title), fontsize="medium")
    return figure


def likeness_figure(
    layers: Sequence[str], likeness: Matrix, files: Sequence[Against], measure: str
) -> Figure:
    """Return a figure of how alike layers are, and of how alike to files; the band is the noise ceiling."""
    height = 1.4 + 0.34 * len(layers)
    figure = Figure(
        figsize=(height + 1.6 + 3.0 * len(files), max(2.6, height)), dpi=100, layout="constrained"
    )
    square, *others = figure.subplots(1, 1 + len(files), squeeze=False)[0]
    image = square.imshow(likeness, "RdBu_r", vmin=-1, vmax=1)
    figure.colorbar(image, ax=square, label=measure, shrink=0.8)
    for row, column in np.ndindex(likeness.shape):
        dark = abs(likeness[row, column]) > 0.6
        square.text(
            column,
            row,
            f"{likeness[row, column]:.2f}",
            ha="center",
            va="center",
            fontsize=6,
            color="w" if dark else "k",
        )
    places, labels = list(range(len(layers))), [literal(name) for name in layers]
    square.set_yticks(places, labels, fontsize="small")
    square.set_xticks(places, labels, fontsize="small", rotation=90)
    for axes, file in zip(others, files, strict=True):
        if file.ceiling is not None:
            axes.axvspan(*file.ceiling, color="#c8ccd2", linewidth=0)
        axes.barh(places, file.likeness.mean(1), height=0.6)
        for subject in file.likeness.T if file.likeness.shape[1] > 1 else ():
            axes.plot(subject, places, "o", color="#333", markersize=2)
        axes.set_yticks(places, labels, fontsize="small")
        axes.invert_yaxis()
        axes.axvline(0, color="#888", linewidth=0.8)
        axes.set(xlabel=measure)
        axes.set_title(literal(file.path), fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
