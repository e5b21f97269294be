"""Steps of a run, put together of what its tiles publish: by the command for its log, by the scheduler for its page.

    tile 0 of a replica   ---- step 7 ---->  |
    tile 1                ------ step 7 -->  |  one step: terms added up, seconds those of the slowest tile

A step that is computed again after a loss is no other step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.published import TileComputed
from lnet.runtime.store.events import ClusterStepDone
from lnet.runtime.store.sums import Slowest
from lnet.runtime.training.losses import losses

RECENT = 100
"""Updates of a replica within which one may be computed again."""


@dataclass
class Steps:
    """`done`: the steps of all replicas together; `parts`: of steps under way, by slot, number and index; `counted`: of each
    slot the numbers and indexes of the newest steps.
    """

    config: RunConfig
    done: int = 0
    parts: dict[tuple[int, int, int], dict[int, TileComputed]] = field(default_factory=dict)
    counted: dict[int, set[tuple[int, int]]] = field(default_factory=dict)

    def take(self, tile: TileComputed) -> ClusterStepDone | None:
        """Record a tile's part of a step; return the step when it is complete."""
        counted, key = self.counted.setdefault(tile.slot, set()), (tile.slot, tile.number, tile.index)
        if key[1:] in counted:
            return None
        parts = self.parts.setdefault(key, {})
        parts[tile.tile] = tile
        if len(parts) < self.config.spec.tiles:
            return None
        del self.parts[key]
        counted.difference_update([old for old in counted if old[0] <= tile.number - RECENT])
        counted.add(key[1:])
        self.done += 1
        return self._step(parts)

    def go_back(self, step: int) -> None:
        """Count the steps since then anew; `step` is one of every replica."""
        self.done = step * self.config.spec.replicas
        self.parts.clear()
        self.counted.clear()

    def _step(self, latest: dict[int, TileComputed]) -> ClusterStepDone:
        graph, tiles = self.config.plan.graph, [latest[tile] for tile in sorted(latest)]
        terms: dict[str, float] = {}
        for tile in tiles:
            for path, value in tile.terms.items():
                terms[path] = terms.get(path, 0.0) + value
        found = losses(graph, terms)
        return ClusterStepDone(
            step=self.done,
            images=graph.training.seen(self.done),
            loss=found.loss,
            terms=found.terms,
            objectives=found.objectives,
            accuracies=found.accuracies,
            seconds=max(tile.seconds for tile in tiles),
            waited=max(tile.waited for tile in tiles),
            slowest=_slowest(tiles),
            replica=tiles[0].replica,
            generation=min(tile.generation for tile in tiles),
            bytes=sum(tile.bytes for tile in tiles),
            traffic=sum(tile.traffic for tile in tiles),
        )


def _slowest(parts: Iterable[TileComputed]) -> Slowest:
    """Return where the time went of the tile that the others waited for: the one that waited least for others."""
    least = min(parts, key=lambda part: part.exchanged)
    return Slowest(least.tile, least.seconds, least.waited, least.exchanged)
