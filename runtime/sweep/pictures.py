"""Pictures of a sweep, as SVG in the colours of the page: the measure over the trials, and against a setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lnet.compiler.space import Choice, Variable
from lnet.runtime.analysis.plots import literal, to_svg
from lnet.runtime.analysis.report.curves import add_legend, finish, new_figure

from .measure import Measure
from .trials import DONE, PRUNED, Trial

HEIGHT, WIDTH = 2.7, 5.2
"""Of a picture against a setting, in inches."""
NAMES = ("done", "pruned", "best so far")
SPREAD = 0.15
"""How far points of one alternative stand apart, at most, in distances of two alternatives."""
DECADE = 10
"""Values that differ by this factor or more are on a logarithmic scale."""


def history(trials: Sequence[Trial], measure: Measure) -> str:
    """Return the measure of each trial by its number, and the best so far."""
    figure = new_figure(HEIGHT, NAMES)
    axes = figure.subplots()
    trials = sorted(trials, key=lambda trial: trial.number)
    _points(axes, trials, [trial.number for trial in trials])
    done = [trial for trial in trials if trial.state == DONE]
    if done:
        better = np.maximum if measure.maximised else np.minimum
        best = better.accumulate([_value(trial) for trial in done])
        numbers = [*(trial.number for trial in done), trials[-1].number]
        axes.step(numbers, [*best, best[-1]], where="post", color="C0", linewidth=1, label=NAMES[2])
    axes.set_xlabel("trial")
    return _finished(figure, axes, trials, measure, "history")


def against(variable: Variable, trials: Sequence[Trial], measure: Measure) -> str:
    """Return the measure of the trials against a setting that they have."""
    figure = new_figure(HEIGHT, NAMES[:2], WIDTH)
    axes = figure.subplots()
    having = [trial for trial in trials if variable.name in trial.point]
    if isinstance(variable, Choice):
        apart = [
            SPREAD * ((trial.number * 0.618) % 1 - 0.5) for trial in having
        ]  # beside each other, by their numbers
        places = [
            variable.labels.index(str(trial.point[variable.name])) + shift
            for trial, shift in zip(having, apart, strict=True)
        ]
        axes.set_xticks(range(len(variable.labels)), [literal(label) for label in variable.labels])
        axes.set_xlim(-0.5, len(variable.labels) - 0.5)
    else:
        places = [float(trial.point[variable.name]) for trial in having]
        axes.set_xscale("log" if variable.logarithmic else "linear")
    _points(axes, having, places)
    axes.set_xlabel(literal(variable.name))
    return _finished(figure, axes, having, measure, variable.name)


def _points(axes: Axes, trials: Sequence[Trial], places: Sequence[float]) -> None:
    """Draw trials at places: dots with their deviation, and crosses for those that were pruned, where they stood."""
    for state, mark, colour in ((DONE, "o", "C0"), (PRUNED, "x", "C7")):
        chosen = [(at, trial) for at, trial in zip(places, trials, strict=True) if trial.state == state]
        if chosen:
            at = [place for place, _ in chosen]
            values = [_value(trial) for _, trial in chosen]
            deviations = [trial.spread.deviation or 0.0 if trial.spread else 0.0 for _, trial in chosen]
            error = deviations if any(deviations) else None
            axes.errorbar(
                at, values, error, fmt=mark, color=colour, markersize=4, elinewidth=0.8, label=state
            )


def _value(trial: Trial) -> float:
    assert trial.spread is not None, "a trial that is drawn has values"
    return trial.spread.mean


def _finished(figure: Figure, axes: Axes, trials: Sequence[Trial], measure: Measure, salt: str) -> str:
    values = [_value(trial) for trial in trials]
    if values and min(values) > 0 and max(values) >= DECADE * min(values):
        axes.set_yscale("log")
    axes.set_ylabel(literal(measure.name))
    axes.grid(alpha=0.25)
    finish(axes)
    add_legend(figure)
    return to_svg(figure, f"sweep {salt}")
