"""Curves of a run: losses, accuracies and throughput, as SVG in the colours of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lnet.runtime.analysis.history import Averages, History, Means, Steps, Values
from lnet.runtime.analysis.plots import literal, to_svg

WIDTH = 7.2
"""Width of a figure in inches."""
ACROSS = 13
"""Characters of a legend per inch."""
ENTRY, LINE = 8, 0.19
"""Width of a legend's line sample in characters, and height of a legend's row in inches."""
DASHES = ("-", "--", ":", "-.")
MARKS = 40
"""Marks on a curve of validations at most."""


@dataclass(frozen=True)
class Curve:
    """Values over steps, with a name in the legend and the keywords of a line."""

    name: str
    steps: Values
    values: Values
    style: Mapping[str, Any]


def loss_curves(history: History) -> str:
    """Return the loss of every objective over the steps, logarithmic where all are positive."""
    curves = _with_validations(history, attrgetter("objectives"))
    return _draw(curves, "loss", logarithmic=all((curve.values > 0).all() for curve in curves))


def accuracy_curves(history: History) -> str | None:
    """Return the top-1 and top-5 accuracies over the steps; None for a network without classes."""
    curves = _with_validations(history, attrgetter("accuracies"))
    return _draw(curves, "share of the images", logarithmic=False) if curves else None


def throughput_curve(steps: Steps) -> str:
    """Return images per second over the steps."""
    return _draw([Curve("", steps.at, steps.rates(), style(0))], "images per second", logarithmic=False)


def _with_validations(history: History, part: Callable[[Averages], Means]) -> list[Curve]:
    """Return the curves of a part of the figures: of the training images, then of validations, in the same colours."""
    trained, validated = part(history.steps).curves(), part(history.validations).curves()
    styles = {name: style(number) for number, name in enumerate(dict.fromkeys([*trained, *validated]))}
    curves = [Curve(name, history.steps.at, values, styles[name]) for name, values in trained.items()]
    for name, values in validated.items():
        look = marked(styles[name], len(values))
        curves.append(Curve(f"{name}, validation", history.validations.at, values, look))
    return curves


def _draw(curves: Sequence[Curve], label: str, logarithmic: bool) -> str:
    names = [curve.name for curve in curves] if len(curves) > 1 else []
    figure = new_figure(2.7, names)
    axes = figure.subplots()
    for curve in curves:
        axes.plot(curve.steps, curve.values, label=literal(curve.name), **curve.style)
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, *(float(np.nanmin(curve.values)) for curve in curves)))
    axes.grid(alpha=0.25)
    finish(axes)
    if names:
        add_legend(figure)
    return to_svg(figure, label)


def style(number: int) -> dict[str, Any]:
    """Return the line style of curve `number`: ten colours, then the same dashed, dotted, both."""
    return {
        "color": f"C{number % 10}",
        "linestyle": DASHES[number // 10 % len(DASHES)],
        "linewidth": 1.4,
    }


def marked(look: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the style of a curve of so many validations: that of its training curve, thin, with marks up to the last."""
    every = -(-count // MARKS)
    marks = {"marker": "o", "markersize": 3.5, "markevery": ((count - 1) % every, every)}
    return {**look, **marks, "linewidth": 0.7}


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
