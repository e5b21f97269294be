"""Partition x ClusterSpec -> Placement: a worker for every tile of every replica and for every server.

Geometry first: the tiles of a replica are walked row by row, back and forth, so that neighbours follow one another,
and workers are filled host by host. Then tiles that talk more to another host than to their own are swapped, as long
as that makes the slowest links carry less. Each server is beside one of the tiles whose parameters its shard has: those of
one tile are beside different replicas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lnet.compiler.settings import Training
from lnet.dsl.diagnostics import Diagnostic, LnetError, error_of

from .cluster_spec import ClusterSpec
from .cost import TileCost
from .partition import Partition
from .placement import Placement

if TYPE_CHECKING:
    import networkx as nx

ReplicaTile = tuple[int, int]
"""A tile of a replica: replica, tile."""

_ROUNDS = 4


def place(
    partition: Partition, costs: tuple[TileCost, ...], replicas: int, training: Training, cluster: ClusterSpec
) -> Placement:
    """Assign every tile to a worker; raises `LnetError` if the workers have too little memory."""
    tiles = [(replica, tile) for replica in range(replicas) for tile in _back_and_forth(partition)]
    homes = _fill(tiles, costs, replicas, cluster)
    if 1 < len({worker.host for worker in cluster.workers}) < len(cluster.workers):
        _refine(homes, traffic(partition, replicas, training), costs, replicas, cluster)
    placed = tuple(tuple(homes[r, t] for t in range(partition.count)) for r in range(replicas))
    servers = tuple(
        placed[replica][tile]
        for tile, cost in enumerate(costs)
        for replica in _served_beside(tile, cost, replicas)
    )
    return Placement(cluster, placed, servers)


def _served_beside(tile: int, cost: TileCost, replicas: int) -> Iterator[int]:
    """Yield the replica beside whose tile each shard of the tile's parameters is served."""
    return ((tile + number) % replicas for number in range(len(cost.shards)))


def traffic(partition: Partition, replicas: int, training: Training) -> nx.Graph[ReplicaTile]:
    """Return the graph of tiles and the bytes that pass between them in a step."""
    import networkx as nx  # a third of the time of `lnetc check`, and only clusters of hosts need it

    graph: nx.Graph[ReplicaTile] = nx.Graph()
    size = training.value_bytes * training.batch_rows
    for replica in range(replicas):
        graph.add_nodes_from((replica, tile) for tile in range(partition.count))
        for message in partition.messages:
            left, right = (replica, message.sender), (replica, message.receiver)
            before = graph.get_edge_data(left, right, {}).get("bytes", 0)
            graph.add_edge(left, right, bytes=before + message.values * size)
    return graph


def seconds(
    traffic: nx.Graph[ReplicaTile], homes: dict[ReplicaTile, int], cluster: ClusterSpec, tile: ReplicaTile
) -> float:
    """Return the time of a tile's messages, one after the other, in seconds."""
    host = cluster.workers[homes[tile]].host
    total = 0.0
    for other, edge in traffic[tile].items():
        if homes[other] != homes[tile]:
            total += cluster.link(host, cluster.workers[homes[other]].host).seconds(edge["bytes"])
    return total


def _back_and_forth(partition: Partition) -> Iterator[int]:
    columns = partition.tiles.columns
    for row in range(partition.tiles.rows):
        line = range(row * columns, (row + 1) * columns)
        yield from reversed(line) if row % 2 else line


def _need(tile: ReplicaTile, costs: tuple[TileCost, ...], replicas: int) -> int:
    replica, number = tile
    cost = costs[number]
    served = sum(beside == replica for beside in _served_beside(number, cost, replicas))
    return cost.memory + served * cost.largest_server


def _fill(
    tiles: list[ReplicaTile], costs: tuple[TileCost, ...], replicas: int, cluster: ClusterSpec
) -> dict[ReplicaTile, int]:
    """Give each worker, host by host, an even part of the tiles, as its memory allows."""
    order = sorted(range(len(cluster.workers)), key=lambda i: (cluster.workers[i].host, i))
    each = -(-len(tiles) // len(cluster.workers))
    free = {i: cluster.workers[i].memory for i in order}
    homes: dict[ReplicaTile, int] = {}
    load = dict.fromkeys(order, 0)
    for tile in tiles:
        need = _need(tile, costs, replicas)
        home = next((i for i in order if load[i] < each and _fits(need, free[i])), None)
        if home is None:
            home = next((i for i in order if _fits(need, free[i])), None)
        if home is None:
            raise _too_little(tiles, costs, replicas, cluster, need)
        homes[tile] = home
        load[home] += 1
        room = free[home]
        free[home] = None if room is None else room - need
        if load[home] >= each and order[0] == home:
            order = [*order[1:], home]
    return homes


def _fits(need: int, free: int | None) -> bool:
    return free is None or need <= free


def _too_little(
    tiles: list[ReplicaTile], costs: tuple[TileCost, ...], replicas: int, cluster: ClusterSpec, need: int
) -> LnetError:
    total = sum(_need(tile, costs, replicas) for tile in tiles)
    there = sum(worker.memory or 0 for worker in cluster.workers)
    return error_of(
        [
            Diagnostic(
                "E603",
                f"the workers have too little memory: {total:,} bytes are needed, {there:,} are there",
                notes=(
                    f"{len(tiles):,} tiles on {len(cluster.workers):,} workers; the one that has no place needs "
                    f"{need:,} bytes",
                ),
                hints=("take more workers, more tiles, a smaller batch or fewer replicas",),
            )
        ]
    )


def _refine(
    homes: dict[ReplicaTile, int],
    traffic: nx.Graph[ReplicaTile],
    costs: tuple[TileCost, ...],
    replicas: int,
    cluster: ClusterSpec,
) -> None:
    """Swap tiles between hosts while that makes their messages faster."""
    for _ in range(_ROUNDS):
        swapped = False
        for tile in traffic:
            for other in _candidates(tile, homes, traffic, cluster):
                swapped |= _swap_if_better(tile, other, homes, traffic, costs, replicas, cluster)
        if not swapped:
            return


def _candidates(
    tile: ReplicaTile, homes: dict[ReplicaTile, int], traffic: nx.Graph[ReplicaTile], cluster: ClusterSpec
) -> list[ReplicaTile]:
    """Return the tiles on the hosts of a tile's peers: candidates for a swap."""
    host = cluster.workers[homes[tile]].host
    peers = [peer for peer in traffic[tile] if cluster.workers[homes[peer]].host != host]
    beyond = {second for peer in peers for second in traffic[peer]}
    return sorted(s for s in beyond if cluster.workers[homes[s]].host != host)


def _swap_if_better(
    left: ReplicaTile,
    right: ReplicaTile,
    homes: dict[ReplicaTile, int],
    traffic: nx.Graph[ReplicaTile],
    costs: tuple[TileCost, ...],
    replicas: int,
    cluster: ClusterSpec,
) -> bool:
    if _need(left, costs, replicas) != _need(right, costs, replicas) and any(
        w.memory for w in cluster.workers
    ):
        return False  # where memory is limited, only tiles of equal size are swapped
    before = seconds(traffic, homes, cluster, left) + seconds(traffic, homes, cluster, right)
    homes[left], homes[right] = homes[right], homes[left]
    after = seconds(traffic, homes, cluster, left) + seconds(traffic, homes, cluster, right)
    if after < before * (1 - 1e-9):
        return True
    homes[left], homes[right] = homes[right], homes[left]
    return False
