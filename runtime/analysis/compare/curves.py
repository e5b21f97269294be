"""Curves of groups of runs over each other: means over the seeds, and one standard deviation shaded on either side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lnet.runtime.analysis.history import Averages, History, Values, history_of
from lnet.runtime.analysis.plots import literal, to_svg
from lnet.runtime.analysis.report.curves import add_legend, finish, marked, new_figure, style
from lnet.runtime.store.log import stream_events

from .groups import Group

HEIGHT = 3.0
"""Height of a figure in inches."""
Part = Callable[[Averages], Mapping[str, Values]]


@dataclass(frozen=True)
class Band:
    """Mean and standard deviation over several curves, at the steps that all of them have; no deviation of one curve."""

    steps: Values
    mean: Values
    deviation: Values | None


def histories(group: Group) -> list[History]:
    """Return the histories of a group's runs; raises `LnetError` for a log that cannot be read."""
    return [history_of(stream_events(Path(run.path) / "events.jsonl")) for run in group.runs]


def band(curves: Sequence[tuple[Values, Values]]) -> Band | None:
    """Return the band of curves, each steps and values; None if they have no step in common.

    Between the steps of a curve its values are interpolated.
    """
    finite = [(steps[np.isfinite(values)], values[np.isfinite(values)]) for steps, values in curves]
    finite = [curve for curve in finite if len(curve[0])]
    if not finite:
        return None
    first, last = max(steps[0] for steps, _ in finite), min(steps[-1] for steps, _ in finite)
    every = np.unique(np.concatenate([steps for steps, _ in finite]))
    at = every[(every >= first) & (every <= last)]
    if not len(at):
        return None
    values = np.stack([np.interp(at, steps, values) for steps, values in finite])
    return Band(at, values.mean(0), values.std(0, ddof=1) if len(finite) > 1 else None)


def pictures(
    groups: Sequence[tuple[Group, Sequence[History]]], part: Part, label: str, logarithmic: bool
) -> list[tuple[str, str]]:
    """Return a picture as SVG for each name in a part of the histories: `V1.learn`, with all groups that have it."""
    names = dict.fromkeys(
        name
        for _, runs in groups
        for run in runs
        for averages in (run.steps, run.validations)
        for name in part(averages)
    )
    return [(name, _picture(groups, part, name, label, logarithmic)) for name in names]


def _picture(
    groups: Sequence[tuple[Group, Sequence[History]]], part: Part, name: str, label: str, logarithmic: bool
) -> str:
    figure = new_figure(HEIGHT, [group.label for group, _ in groups])
    axes = figure.subplots()
    least = np.inf
    for number, (group, runs) in enumerate(groups):
        look = style(number)
        trained, validated = (
            band(_curves(averages, part, name))
            for averages in ([run.steps for run in runs], [run.validations for run in runs])
        )
        if trained is not None:
            least = min(least, _draw(axes, trained, look | {"label": literal(group.label)}))
        if validated is not None:
            least = min(least, _draw(axes, validated, marked(look, len(validated.steps))))
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    if logarithmic and least > 0:
        axes.set_yscale("log")
    axes.grid(alpha=0.25)
    finish(axes)
    add_legend(figure)
    return to_svg(figure, f"{label} {name}")


def _draw(axes: Axes, drawn: Band, look: Mapping[str, Any]) -> float:
    """Draw a band, and return its least value."""
    axes.plot(drawn.steps, drawn.mean, **look)
    if drawn.deviation is None:
        return float(drawn.mean.min())
    low, high = drawn.mean - drawn.deviation, drawn.mean + drawn.deviation
    axes.fill_between(drawn.steps, low, high, color=look["color"], alpha=0.18, linewidth=0)
    return float(low.min())


def _curves(parts: Sequence[Averages], part: Part, name: str) -> list[tuple[Values, Values]]:
    found = [(averages.at, part(averages)) for averages in parts if averages.numbers.added]
    return [(at, curves[name]) for at, curves in found if name in curves]
