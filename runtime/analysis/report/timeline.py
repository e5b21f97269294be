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

from lnet.runtime.analysis.plots import to_svg

from .curves import add_legend, finish, new_figure
from .history import SLOWEST, Steps, Values

BINS, BARS = 150, 40
PARTS = {
    "compute": "#5b8c5a",
    "messages between tiles": "#d9a441",
    "waiting for images": "#7d7aa8",
    "servers, or standing still": "#e6e8ec",
}


@dataclass(frozen=True)
class Loss:
    """A worker was lost, at this second of the run."""

    at: float
    worker: str


def shares(ends: Values, seconds: Values, waited: Values, exchanged: Values, edges: Values) -> Values:
    """Return the shares of one replica's time spent on each of PARTS, `[part, bin]`; `edges` of the bins in seconds.

    For each of its steps: `ends` is its end, `seconds` the duration on its slowest tile, `waited` the waiting time in it,
    `exchanged` the part of that spent waiting for other tiles.
    """
    begins = np.maximum(ends - seconds, np.concatenate([[-np.inf], ends[:-1]]))
    messages, images = exchanged, waited - exchanged
    kept = (ends - begins) / np.maximum(
        seconds, 1e-9
    )  # steps that are logged late overlap: each counts for its part
    parts = (seconds - messages - images, messages, images)
    found = np.stack([_share(begins, ends, part * kept, edges) for part in parts]).clip(0, 1)
    rest: Values = 1 - found.sum(0, keepdims=True)
    return np.concatenate([found, rest.clip(0, 1)])


def _share(begins: Values, ends: Values, spent: Values, edges: Values) -> Values:
    """Return the fraction of each bin spent, with each step's time spread evenly over the step."""
    times = np.stack([begins, ends], 1).ravel()
    after = np.cumsum(spent)
    sums = np.stack([after - spent, after], 1).ravel()
    return np.diff(np.interp(edges, times, sums)) / np.diff(edges)


def timeline_picture(steps: Steps, losses: Sequence[Loss]) -> str:
    """Return the shares of every replica's time over the run, one above the other; losses are dashed lines."""
    of = steps["replica"]
    replicas = np.unique(of)
    edges = np.linspace(0.0, max(steps["at"][-1], 1e-3), BINS + 1)
    figure = new_figure(0.9 + 0.8 * len(replicas), tuple(PARTS))
    rows = figure.subplots(len(replicas), 1, sharex=True, squeeze=False)[:, 0]
    for axes, replica in zip(rows, replicas, strict=True):
        own = of == replica
        seconds, waited, exchanged = (steps[f"slowest {name}"][own] for name in SLOWEST)
        parts = shares(steps["at"][own], seconds, waited, exchanged, edges)
        axes.stackplot(edges[:-1], parts, colors=PARTS.values(), labels=PARTS, step="post", linewidth=0)
        for loss in losses:
            axes.axvline(loss.at, color="#a3262a", linestyle="--", linewidth=1)
        axes.set(ylim=(0, 1), xlim=(edges[0], edges[-1]), yticks=[], ylabel=f"replica {replica:.0f}")
        axes.spines[["top", "right", "left"]].set_visible(False)
    rows[-1].set_xlabel("seconds")
    add_legend(figure)
    return to_svg(figure, "time line")


def staleness_picture(ages: Sequence[Counter[int]]) -> str:
    """Return a picture of the number of each replica's updates by age when applied."""
    oldest = max(max(counts, default=0) for counts in ages)
    width = oldest // BARS + 1
    edges = np.arange(0, oldest + width + 1, width) - 0.5
    names = tuple(f"replica {replica}" for replica in range(len(ages)))
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
