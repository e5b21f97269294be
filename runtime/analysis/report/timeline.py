"""Pictures of the replicas' time and of the staleness of their updates, as SVG.

a step   |<- images ->|<- compute and messages between its tiles ->|            next step  |...
         |<-------------------- seconds -------------------------->|<- between steps ----->|
                                                                     fetch, push, standing still

A step is represented by its slowest tile: one that waits for another, which waits for its parameters, would count that
as messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

from lnet.runtime.analysis.history import Steps, Values
from lnet.runtime.analysis.plots import to_svg

from .curves import add_legend, finish, new_figure

BINS, BARS = 150, 40
ROWS = 8
"""Replicas that have a row of their own."""
PARTS = {
    "compute": "#5b8c5a",
    "messages between tiles": "#d9a441",
    "waiting for images": "#7d7aa8",
    "servers, or standing still": "#e6e8ec",
}
SPENT = ("computed", "exchanged", "waited")
"""Columns of the seconds spent on each of PARTS but the last."""


@dataclass(frozen=True)
class Loss:
    """A worker was lost, at this second of the run."""

    at: float
    worker: str


def shares(begins: Values, ends: Values, spent: Sequence[Values], edges: Values) -> Values:
    """Return the shares of one replica's time spent on each of PARTS, `[part, bin]`; `edges` of the bins in seconds.

    Of each of its steps, or sums of them, `begins` and `ends`, none before the end of the one before, and the seconds
    `spent` on each part but the last.
    """
    found = np.stack([_share(begins, ends, part, edges) for part in spent]).clip(0, 1)
    rest: Values = 1 - found.sum(0, keepdims=True)
    return np.concatenate([found, rest.clip(0, 1)])


def _share(begins: Values, ends: Values, spent: Values, edges: Values) -> Values:
    """Return the fraction of each bin spent, with each step's time spread evenly over the step."""
    times = np.stack([begins, ends], 1).ravel()
    after = np.cumsum(spent)
    sums = np.stack([after - spent, after], 1).ravel()
    return np.diff(np.interp(edges, times, sums)) / np.diff(edges)


def timeline_picture(steps: Steps, losses: Sequence[Loss]) -> str:
    """Return the shares of every replica's time over the run, one above the other; losses are dashed lines.

    Of more than ROWS replicas, those that computed least.
    """
    edges = np.linspace(0.0, max(steps["ended"].max(), 1e-3), BINS + 1)
    parts = {replica: _parts(steps, replica, edges) for replica in np.unique(steps["replica"])}
    shown = sorted(sorted(parts, key=lambda replica: parts[replica][0].mean())[:ROWS])
    figure = new_figure(0.9 + 0.8 * len(shown), tuple(PARTS))
    rows = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, replica in zip(rows, shown, strict=True):
        axes.stackplot(
            edges[:-1], parts[replica], colors=PARTS.values(), labels=PARTS, step="post", linewidth=0
        )
        for loss in losses:
            axes.axvline(loss.at, color="#a3262a", linestyle="--", linewidth=1)
        axes.set(ylim=(0, 1), xlim=(edges[0], edges[-1]), yticks=[], ylabel=f"replica {replica:.0f}")
        axes.spines[["top", "right", "left"]].set_visible(False)
    rows[-1].set_xlabel("seconds")
    add_legend(figure)
    return to_svg(figure, "time line")


def _parts(steps: Steps, replica: float, edges: Values) -> Values:
    own = steps["replica"] == replica
    begins, ends, *spent = (steps[name][own] for name in ("began", "ended", *SPENT))
    return shares(begins, ends, spent, edges)


def staleness_picture(ages: Sequence[Counter[int]]) -> str:
    """Return a picture of the number of updates by age when applied: each replica's, or of many all together."""
    many = len(ages) > ROWS
    ages = [sum(ages, Counter())] if many else ages
    oldest = max(max(counts, default=0) for counts in ages)
    width = oldest // BARS + 1
    edges = np.arange(0, oldest + width + 1, width) - 0.5
    names = ("all replicas",) if many else tuple(f"replica {replica}" for replica in range(len(ages)))
    figure = new_figure(2.4, names)
    axes = figure.subplots()
    bottom = np.zeros(len(edges) - 1)
    for replica, counts in enumerate(ages):
        heights, _ = np.histogram(list(counts), edges, weights=list(counts.values()))
        axes.bar(edges[:-1] + width / 2, heights, 0.9 * width, bottom, label=names[replica])
        bottom += heights
    axes.set_xlabel("updates taken since the fetch")
    axes.set_ylabel("updates")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    finish(axes)
    add_legend(figure)
    return to_svg(figure, "staleness")
