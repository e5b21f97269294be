"""Partition x ClusterSpec -> Placement: a worker for every tile of every replica and for every server.

Geometry first: the tiles of a replica are walked row by row, back and forth, so that neighbours follow one another,
and workers are filled host by host. Then tiles that talk more to another host than to their own are swapped, as long
as that makes the slowest links carry less. Server i holds the parameters of tile i, beside one of its replicas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lnet.dsl.diagnostics import Diagnostic, LnetError, error_of

from .cluster_spec import ClusterSpec
from .cost import TileCost
from .partition import BYTES, Partition
from .placement import Placement

if TYPE_CHECKING:
    import networkx as nx

Shard = tuple[int, int]
"""A tile of a replica: replica, tile."""

_ROUNDS = 4


def place(
    partition: Partition, costs: tuple[TileCost, ...], replicas: int, batch: int, cluster: ClusterSpec
) -> Placement:
    """Assign every shard to a worker; raises `LnetError` if the workers have too little memory."""
    shards = [(replica, tile) for replica in range(replicas) for tile in _back_and_forth(partition)]
    homes = _fill(shards, costs, replicas, cluster)
    if 1 < len({worker.host for worker in cluster.workers}) < len(cluster.workers):
        _refine(homes, traffic(partition, replicas, batch), costs, replicas, cluster)
    tiles = tuple(tuple(homes[r, t] for t in range(partition.count)) for r in range(replicas))
    servers = tuple(tiles[tile % replicas][tile] for tile in range(partition.count))
    return Placement(cluster, tiles, servers)


def traffic(partition: Partition, replicas: int, batch: int) -> nx.Graph[Shard]:
    """Return the graph of shards and the bytes that pass between them in a step."""
    import networkx as nx  # a third of the time of `lnetc check`, and only clusters of hosts need it

    graph: nx.Graph[Shard] = nx.Graph()
    for replica in range(replicas):
        graph.add_nodes_from((replica, tile) for tile in range(partition.count))
        for message in partition.messages:
            left, right = (replica, message.sender), (replica, message.receiver)
            before = graph.get_edge_data(left, right, {}).get("bytes", 0)
            graph.add_edge(left, right, bytes=before + message.values * BYTES * batch)
    return graph


def seconds(traffic: nx.Graph[Shard], homes: dict[Shard, int], cluster: ClusterSpec, shard: Shard) -> float:
    """Return the time of a shard's messages, one after the other, in seconds."""
    host = cluster.workers[homes[shard]].host
    total = 0.0
    for other, edge in traffic[shard].items():
        if homes[other] != homes[shard]:
            total += cluster.link(host, cluster.workers[homes[other]].host).seconds(edge["bytes"])
    return total


def _back_and_forth(partition: Partition) -> Iterator[int]:
    columns = partition.tiles.columns
    for row in range(partition.tiles.rows):
        line = range(row * columns, (row + 1) * columns)
        yield from reversed(line) if row % 2 else line


def _need(shard: Shard, costs: tuple[TileCost, ...], replicas: int) -> int:
    replica, tile = shard
    return costs[tile].memory + (costs[tile].server if tile % replicas == replica else 0)


def _fill(
    shards: list[Shard], costs: tuple[TileCost, ...], replicas: int, cluster: ClusterSpec
) -> dict[Shard, int]:
    """Give each worker, host by host, an even part of the shards, as its memory allows."""
    order = sorted(range(len(cluster.workers)), key=lambda i: (cluster.workers[i].host, i))
    each = -(-len(shards) // len(cluster.workers))
    free = {i: cluster.workers[i].memory for i in order}
    homes: dict[Shard, int] = {}
    load = dict.fromkeys(order, 0)
    for shard in shards:
        need = _need(shard, costs, replicas)
        home = next((i for i in order if load[i] < each and _fits(need, free[i])), None)
        if home is None:
            home = next((i for i in order if _fits(need, free[i])), None)
        if home is None:
            raise _too_little(shards, costs, replicas, cluster, need)
        homes[shard] = home
        load[home] += 1
        room = free[home]
        free[home] = None if room is None else room - need
        if load[home] >= each and order[0] == home:
            order = [*order[1:], home]
    return homes


def _fits(need: int, free: int | None) -> bool:
    return free is None or need <= free


def _too_little(
    shards: list[Shard], costs: tuple[TileCost, ...], replicas: int, cluster: ClusterSpec, need: int
) -> LnetError:
    total = sum(_need(shard, costs, replicas) for shard in shards)
    there = sum(worker.memory or 0 for worker in cluster.workers)
    return error_of(
        [
            Diagnostic(
                "E603",
                f"the workers have too little memory: {total:,} bytes are needed, {there:,} are there",
                notes=(
                    f"{len(shards):,} shards on {len(cluster.workers):,} workers; the one that has no place needs "
                    f"{need:,} bytes",
                ),
                hints=("take more workers, more tiles, a smaller batch or fewer replicas",),
            )
        ]
    )


def _refine(
    homes: dict[Shard, int],
    traffic: nx.Graph[Shard],
    costs: tuple[TileCost, ...],
    replicas: int,
    cluster: ClusterSpec,
) -> None:
    """Swap shards between hosts while that makes their messages faster."""
    for _ in range(_ROUNDS):
        swapped = False
        for shard in traffic:
            for other in _candidates(shard, homes, traffic, cluster):
                swapped |= _swap_if_better(shard, other, homes, traffic, costs, replicas, cluster)
        if not swapped:
            return


def _candidates(
    shard: Shard, homes: dict[Shard, int], traffic: nx.Graph[Shard], cluster: ClusterSpec
) -> list[Shard]:
    """Return the shards on the hosts of a shard's peers: candidates for a swap."""
    host = cluster.workers[homes[shard]].host
    peers = [peer for peer in traffic[shard] if cluster.workers[homes[peer]].host != host]
    beyond = {second for peer in peers for second in traffic[peer]}
    return sorted(s for s in beyond if cluster.workers[homes[s]].host != host)


def _swap_if_better(
    left: Shard,
    right: Shard,
    homes: dict[Shard, int],
    traffic: nx.Graph[Shard],
    costs: tuple[TileCost, ...],
    replicas: int,
    cluster: ClusterSpec,
) -> bool:
    if _need(left, costs, replicas) != _need(right, costs, replicas) and any(
        w.memory for w in cluster.workers
    ):
        return False  # where memory is limited, only shards of equal size are swapped
    before = seconds(traffic, homes, cluster, left) + seconds(traffic, homes, cluster, right)
    homes[left], homes[right] = homes[right], homes[left]
    after = seconds(traffic, homes, cluster, left) + seconds(traffic, homes, cluster, right)
    if after < before * (1 - 1e-9):
        return True
    homes[left], homes[right] = homes[right], homes[left]
    return False
