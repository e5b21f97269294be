"""A layer's sheet over runs that differ by their seed: every figure with its mean and 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from lnet.compiler.files import plain
from lnet.dsl.diagnostics import refused
from lnet.runtime.store.run import Run

from .gallery import Content, Record, keep
from .images import Place
from .intervals import Interval, check_apart, intervals
from .neurons import find_layer
from .plots import literal, npz, to_png
from .sheet import untrained_shares, view_beside
from .sheet_picture import LABELS

KIND = "seeds"
FIGURES = ("selectivity", "resemblance", "arrangement", "classes", "selective", "dimensions", "costs")
"""The figures of a sheet of which intervals are taken."""


@dataclass(frozen=True)
class Seeds:
    """The figures of a layer over several runs, by the names that they have in a sheet's record: `selective.face`.

    `untrained`: of each class the share of selective neurons in untrained networks. `sheets` are the records of the single
    runs, `record` is that of all, in the first run.
    """

    layer: str
    runs: tuple[Run, ...]
    figures: Mapping[str, Interval]
    untrained: Mapping[str, Interval]
    sheets: tuple[Record, ...]
    record: Record


def sheet_over_seeds(
    runs: Sequence[Run], layer: str, data: Place | None = None, seed: int = 0, untrained: int = 0
) -> Seeds:
    """Return the figures of `sheet_view` over several runs of one network, with means and 95 % intervals (Student's t).

    Each run keeps its own arrays and pictures, the first run also those of all runs together. The untrained networks have
    the seeds `seed`, `seed + 1`, ..., and are shown beside all runs. Raises `LnetError`, also for layers of different
    extents.
    """
    check_apart(runs)
    path = _same_layer(runs, layer)
    random = untrained_shares(runs[0], path, data, range(seed, seed + untrained))
    sheets = tuple(view_beside(random, run, path, data, seed).record for run in runs)
    found = intervals([{name: sheet.figures[name] for name in FIGURES} for sheet in sheets])
    found.pop("arrangement.sheets", None)  # a count of maps, no measure
    controls = {name: Interval(shares) for name, shares in random.items()}
    figures = {
        "layer": path,
        "runs": [str(run.path) for run in runs],
        "data": None if data is None else str(data),
        "skipped": sheets[0].figures["skipped"],
        "figures": {name: each.figures for name, each in found.items()},
        "untrained": {name: each.figures for name, each in controls.items()},
    }
    record = keep(runs[0], KIND, plain(path), figures, _files(runs, found, controls, path))
    return Seeds(path, tuple(runs), found, controls, sheets, record)


def _same_layer(runs: Sequence[Run], layer: str) -> str:
    """Return the path of a layer that all runs have with the same extents; raises `LnetError`."""
    first, *others = [run.plan.graph.layer(find_layer(run.plan.graph, layer)) for run in runs]
    for run, other in zip(runs[1:], others, strict=True):
        if (other.sheet, other.patch) != (first.sheet, first.patch):
            raise refused(
                "E784",
                f"'{first.path}' is not the same in all runs",
                f"it is {first.sheet} in '{runs[0].path}', and {other.sheet} in '{run.path}'",
                hint="name runs that differ by their seed alone",
            )
    return first.path


def _files(
    runs: Sequence[Run], found: Mapping[str, Interval], controls: Mapping[str, Interval], path: str
) -> dict[str, Content]:
    arrays = {
        "runs": np.array([str(run.path) for run in runs]),
        "figures": np.array(list(found)),
        "mean": np.array([each.mean for each in found.values()]),
        "low": np.array([np.nan if each.low is None else each.low for each in found.values()]),
        "high": np.array([np.nan if each.high is None else each.high for each in found.values()]),
        "untrained_classes": np.array(list(controls)),
        "untrained": np.array([each.values for each in controls.values()]),
    }
    shares = {name.partition(".")[2]: each for name, each in found.items() if name.startswith("selective.")}
    pictures: dict[str, Content] = (
        {"selective.png": to_png(_selective_figure(shares, controls, path))} if shares else {}
    )
    return {**pictures, "npz": npz(arrays)}


def _selective_figure(shares: Mapping[str, Interval], controls: Mapping[str, Interval], path: str) -> Figure:
    """Return a figure of the shares of selective neurons by class, beside those of untrained networks."""
    shown = sorted(shares, key=lambda name: -shares[name].mean)[:LABELS]
    figure = Figure(figsize=(5.5, 1.1 + 0.26 * len(shown)), dpi=100, layout="constrained")
    axes = figure.subplots()
    for label, intervals_of, colour, shift in (
        ("trained", shares, "#1f5fa8", -0.12),
        ("untrained", controls, "#8a8f98", 0.12),
    ):
        rows = [(place, intervals_of[name]) for place, name in enumerate(shown) if name in intervals_of]
        for place, each in rows:
            if each.low is not None and each.high is not None:
                axes.plot([100 * each.low, 100 * each.high], [place + shift] * 2, color=colour, linewidth=1.6)
        if rows:
            means = [100 * each.mean for _, each in rows]
            axes.plot(
                means, [place + shift for place, _ in rows], "o", color=colour, label=label, markersize=4
            )
    axes.set_yticks(range(len(shown)), [literal(name) for name in shown], fontsize="small")
    axes.invert_yaxis()
    axes.set(xlabel="selective neurons in %; lines: 95 % intervals over seeds", title=literal(path))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize="small", frameon=False)
    return figure
