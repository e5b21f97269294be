"""The fastest layout of a network on so many workers, by predicted images a second: `lnetc compile --best N`.

    grids of tiles     p x p and p x (p + 1), each with as many replicas as there is room for: first every grid that has
                       at least 1.4 times the tiles of the one before, then the neighbours of the best
    fetch, push        as in the file, and each of `EVERY` that the file's `staleness` allows

Gradients are fresher with a small `fetch` and `push` and few replicas, which no prediction of speed counts. So of those
within `CLOSE` of the fastest the one with the smallest is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product

from lnet.compiler.core.arguments import Refused
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cluster_spec import ClusterSpec, Rates
from lnet.compiler.graph.graph import Graph
from lnet.compiler.pipeline import Layout, lay_out
from lnet.compiler.plan.plan import Plan
from lnet.compiler.text_table import WIDE, TextTable, printed
from lnet.dsl.diagnostics import LnetError, refused

from .explain_time import Prediction, predictions, seconds_text
from .goodput import Failures

EVERY = (1, 2, 5, 10, 20)
"""Steps between two fetches, or pushes, that are tried."""
GROWTH = 1.4
CLOSE = 0.05
"""Part of the fastest's images a second that fresher gradients may cost."""
SHOWN = 10
GOODPUT = ("under failures", "goodput")
FAILURES = (
    "under failures: {0.rate:,g} of a machine in 1,000 hours, each repaired after {0.repair:,g} s; goodput: the share "
    "that is left"
)


@dataclass(frozen=True)
class Comparison:
    """All layouts that were compared, the fastest first, the one that is taken, and the grids without enough memory."""

    all: tuple[Prediction, ...]
    best: Prediction
    too_large: tuple[Size, ...]


def best_layout(
    plan: Plan,
    cluster: ClusterSpec,
    rates: Rates,
    replicas: int | None = None,
    tiles: Size | None = None,
    shards_per_tile: int | None = None,
    failures: Failures | None = None,
) -> Comparison:
    """Compare layouts of a plan's network on all workers of a cluster by what `failures` leave of their speed.

    `replicas`, `tiles` and `shards_per_tile` may be fixed. Settings of `fetch` and `push` beside the file are kept. Raises
    `LnetError` if there is no layout.
    """
    workers = len(cluster.workers)
    least = (replicas or 1) * (tiles.rows * tiles.columns if tiles is not None else 1)
    if least > workers:
        raise refused("E609", f"the layout needs at least {least:,} workers, found {workers:,}")
    search = _Search(plan, cluster, rates, replicas, shards_per_tile, failures)
    grids = [tiles] if tiles is not None else list(_grids(workers // (replicas or 1)))
    tried = list(_sparse(grids))
    found = {grid: search.predictions(grid) for grid in tried}
    fastest = max(tried, key=lambda grid: max((p.useful for p in found[grid]), default=0.0))
    place = grids.index(fastest)
    for grid in grids[max(0, place - 1) : place + 2]:
        if grid not in found:
            found[grid] = search.predictions(grid)
    every = sorted((p for some in found.values() for p in some), key=lambda p: -p.useful)
    if not every:
        raise refused("E603", f"no layout of {workers:,} workers has enough memory", hint="take more workers")
    enough = [p for p in every if p.useful >= (1 - CLOSE) * every[0].useful]
    return Comparison(
        tuple(every), min(enough, key=_staleness), tuple(grid for grid, some in found.items() if not some)
    )


def _grids(most: int) -> Iterator[Size]:
    """Yield grids of at most so many tiles, the smallest first."""
    side = 1
    while side * side <= most:
        yield Size(side, side)
        if side * (side + 1) <= most:
            yield Size(side, side + 1)
        side += 1


def _sparse(grids: Sequence[Size]) -> Iterator[Size]:
    least = 0.0
    for grid in grids:
        tiles = grid.rows * grid.columns
        if tiles >= least or grid is grids[-1]:
            yield grid
            least = GROWTH * tiles


def _staleness(prediction: Prediction) -> tuple[int, int, float]:
    """Return how old gradients may be, and then how slow a step of all replicas is."""
    training = prediction.plan.graph.training
    return (
        training.fetch + training.push,
        len(prediction.plan.placement.tiles),
        -prediction.useful,
    )


@dataclass(frozen=True)
class _Search:
    plan: Plan
    cluster: ClusterSpec
    rates: Rates
    replicas: int | None
    shards_per_tile: int | None
    failures: Failures | None

    def predictions(self, grid: Size) -> list[Prediction]:
        """Return the prediction of a grid with each `fetch` and `push`; none if it lacks memory."""
        replicas = self.replicas or len(self.cluster.workers) // (grid.rows * grid.columns)
        try:
            layout = Layout(None, replicas, grid, self.cluster, self.shards_per_tile)
            cut, placement = lay_out(self.plan.graph, layout)
        except LnetError as error:
            if error.diagnostics[0].code != "E603":
                raise
            return []
        plan = replace(self.plan, partition=cut, placement=placement)
        return predictions(plan, self.rates, self._graphs(), self.failures)

    def _graphs(self) -> Iterator[Graph]:
        """Yield the network with each `fetch` and `push` that its staleness allows."""
        training = self.plan.graph.training
        fixed = dict(self.plan.overrides)
        fetches, pushes = (
            (now,) if f"train.{name}" in fixed else sorted({now, *EVERY})
            for name, now in (("fetch", training.fetch), ("push", training.push))
        )
        for fetch, push in product(fetches, pushes):
            with suppress(Refused):
                yield replace(self.plan.graph, training=replace(training, fetch=fetch, push=push))


def settings_of(prediction: Prediction, before: Plan) -> dict[str, str]:
    """Return the settings that a prediction's plan has other than the plan before."""
    now, then = prediction.plan.graph.training, before.graph.training
    return {
        f"train.{name}": str(getattr(now, name))
        for name in ("fetch", "push")
        if getattr(now, name) != getattr(then, name)
    }


def comparison_text(comparison: Comparison, width: int = WIDE) -> str:
    """Return the fastest layouts, one row for each grid, and the one that is taken."""
    fastest: dict[Size, Prediction] = {}
    for each in comparison.all:
        fastest.setdefault(each.plan.partition.tiles, each)
    rows = [*fastest.values()][:SHOWN]
    if comparison.best not in rows:
        rows.append(comparison.best)
    left, under = len(fastest) - SHOWN, comparison.best.failures
    return printed(
        (
            f"compared {len(comparison.all):,} layouts: {len(fastest):,} grids of tiles, each with "
            f"{len(comparison.all) // len(fastest):,} pairs of 'fetch' and 'push'; the fastest of each grid:",
            "",
            TextTable(
                ("tiles", "replicas"),
                ("fetch", "push", "step", "images a second", *(GOODPUT if under else ()), "bottleneck"),
                tuple(_row(each, each is comparison.best) for each in rows),
                ("bottleneck",),
            ),
            *([FAILURES.format(under)] if under else []),
            *([f"... and {left:,} slower grids"] if left > 0 else []),
            *(
                [f"without enough memory: {', '.join(map(str, comparison.too_large))}"]
                if comparison.too_large
                else []
            ),
            f"taken: of those within {CLOSE:.0%} of the fastest, the one with the freshest gradients",
        ),
        width,
    )


def _row(each: Prediction, taken: bool) -> tuple[str, ...]:
    training = each.plan.graph.training
    return (
        str(each.plan.partition.tiles),
        f"{len(each.plan.placement.tiles):,}",
        f"{training.fetch}",
        f"{training.push}",
        seconds_text(each.time.seconds),
        f"{each.images_a_second:,.4g}",
        *(() if each.failures is None else (f"{each.useful:,.4g}", f"{each.goodput.share:.3f}")),
        each.time.bottleneck + (", taken" if taken else ""),
    )
