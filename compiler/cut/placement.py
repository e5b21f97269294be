"""The workers of a plan's tiles and shards."""

from __future__ import annotations

from dataclasses import dataclass

from .cluster_spec import ClusterSpec, Worker


@dataclass(frozen=True, slots=True)
class Placement:
    """The workers, by number: `tiles[replica][tile]` of each tile, `servers[shard]` of each shard; the others are spares."""

    cluster: ClusterSpec
    tiles: tuple[tuple[int, ...], ...]
    servers: tuple[int, ...]

    @property
    def spares(self) -> tuple[Worker, ...]:
        used = {worker for replica in self.tiles for worker in replica}
        return tuple(w for i, w in enumerate(self.cluster.workers) if i not in used)
