"""Curves of a run: losses, accuracies and throughput, as SVG in the colours of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lnet.runtime.analysis.plots import literal, to_svg

from .history import Steps, Values

WIDTH = 7.2
"""Width of a figure in inches."""
ACROSS = 13
"""Characters of a legend per inch."""
ENTRY, LINE = 8, 0.19
"""Width of a legend's line sample in characters, and height of a legend's row in inches."""
DASHES = ("-", "--", ":", "-.")


def loss_curves(steps: Steps) -> str:
    """Return the loss of every objective over the steps, logarithmic where all are positive."""
    curves = steps.objectives.curves()
    return _draw(steps, curves, "loss", logarithmic=all((curve > 0).all() for curve in curves.values()))


def accuracy_curves(steps: Steps) -> str | None:
    """Return the top-1 and top-5 accuracies over the steps; None for a network without classes."""
    curves = steps.accuracies.curves()
    return _draw(steps, curves, "share of the images", logarithmic=False) if curves else None


def throughput_curve(steps: Steps, batch: int) -> str:
    """Return images per second over the steps."""
    rate = batch / np.maximum(steps.numbers.curves()["seconds"], 1e-9)
    return _draw(steps, {"": rate}, "images per second", logarithmic=False)


def _draw(steps: Steps, curves: Mapping[str, Values], label: str, logarithmic: bool) -> str:
    numbers = steps.numbers.curves()["step"]
    figure = new_figure(2.7, curves if len(curves) > 1 else ())
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        axes.plot(numbers, curve, label=literal(name), linewidth=1.4, **style(number))
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, *(float(np.nanmin(curve)) for curve in curves.values())))
    axes.grid(alpha=0.25)
    finish(axes)
    if len(curves) > 1:
        add_legend(figure)
    return to_svg(figure, label)


def style(number: int) -> dict[str, Any]:
    """Return the line style of curve `number`: ten colours, then the same dashed, dotted, both."""
    return {"color": f"C{number % 10}", "linestyle": DASHES[number // 10 % len(DASHES)]}


def new_figure(height: float, names: Iterable[str] = (), width: float = WIDTH) -> Figure:
    """Return an empty figure; `height` and `width` in inches. A legend of `names` below it makes it higher."""
    names = tuple(names)
    rows = -(-len(names) // _legend_columns(names, width)) if names else 0
    return Figure(figsize=(width, height + LINE * rows), layout="constrained")


def add_legend(figure: Figure) -> None:
    """Put a legend below the axes, in as many columns as fit."""
    found = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if not found:
        return
    columns = _legend_columns(tuple(found), figure.get_figwidth())
    figure.legend(
        found.values(), found, loc="outside lower center", ncols=columns, frameon=False, fontsize="small"
    )


def _legend_columns(names: tuple[str, ...], width: float) -> int:
    return min(len(names), max(1, int(ACROSS * width) // (max(map(len, names)) + ENTRY)))


def finish(axes: Axes) -> None:
    """Hide the top and right spines."""
    axes.spines[["top", "right"]].set_visible(False)
