"""Curves of a run: losses and throughput, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from lnet.compiler.files import readable
from lnet.runtime.events import Event

POINTS = 600
"""A curve of more steps is averaged into this many points, so that a long run's page stays small."""


def literal(text: str) -> str:
    """Return a text that matplotlib shows as it is, dollars and names that are no UTF-8 too."""
    return readable(text).replace("$", r"\$")


def loss_curves(steps: Sequence[Event]) -> str:
    """Return the loss of every objective over the steps, logarithmic where all are positive."""
    names = list(dict.fromkeys(name for event in steps for name in event["objectives"]))
    curves = {name: np.array([event["objectives"].get(name, np.nan) for event in steps]) for name in names}
    return _draw(steps, curves, "loss", logarithmic=all((curve > 0).all() for curve in curves.values()))


def accuracy_curves(steps: Sequence[Event]) -> str | None:
    """Return the share of the images whose class was among the likeliest, None for a network without classes."""
    found = [event.get("accuracies", {}) for event in steps]
    names = list(dict.fromkeys(name for accuracies in found for name in accuracies))
    if not names:
        return None
    curves = {name: np.array([accuracies.get(name, np.nan) for accuracies in found]) for name in names}
    return _draw(steps, curves, "share of the images", logarithmic=False)


def throughput_curve(steps: Sequence[Event], batch: int) -> str:
    """Return images per second over the steps."""
    rate = np.array([batch / max(event["seconds"], 1e-9) for event in steps])
    return _draw(steps, {"": rate}, "images per second", logarithmic=False)


def _draw(steps: Sequence[Event], curves: Mapping[str, np.ndarray], label: str, logarithmic: bool) -> str:
    numbers = np.array([event["step"] for event in steps])
    figure = new_figure(2.7)
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(_averaged(numbers), _averaged(curve), label=name, linewidth=1.4)
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, *(float(np.nanmin(curve)) for curve in curves.values())))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axes.legend(frameon=False)
    return to_svg(figure, label)


def new_figure(height: float) -> Figure:
    """Return an empty figure of the page's width; `height` in inches."""
    figure = Figure(figsize=(7.2, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def to_svg(figure: Figure, salt: str) -> str:
    """Return a figure as SVG, the same text for the same figure; `salt` keeps the names in it apart on one page."""
    text = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _averaged(values: np.ndarray) -> np.ndarray:
    """Return the means of runs of equal length, POINTS at most."""
    length = -(-len(values) // POINTS)
    whole = len(values) // length * length
    means: np.ndarray = values[:whole].reshape(-1, length).mean(1)
    return means if whole == len(values) else np.append(means, values[whole:].mean())
