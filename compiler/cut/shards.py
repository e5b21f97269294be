"""Which of a tile's parameters each of its shards holds: a shard is what one server keeps, for all replicas.

    tile 3    V1.weights, 14 x 15 positions, between 2 shards    shard 6: columns 0 to 7, shard 7: columns 7 to 15

With as many shards as there are replicas every worker of a tile serves one of them, so none serves more than another. All
parameters are cut alike, each into parts as even as they can be, of which the last is never smaller than any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from lnet.compiler.core.shapes import Interval, Place, Region, Rows, Size, part, shape_at, whole
from lnet.compiler.graph.graph import Graph

from .partition import Partition
from .weights import owned_parameters, owned_places

LEAST = 1 << 20
"""Bytes of parameters below which a tile's are not divided further: messages would take longer than what is in them."""


def best_shards(graph: Graph, partition: Partition, replicas: int) -> int:
    """Return how many shards a tile's parameters are best divided between: at most one for each replica."""
    owned = [sum(owned_parameters(graph, partition, tile).values()) for tile in range(partition.count)]
    largest = owned.index(max(owned))
    most = max(1, min(replicas, owned[largest] * graph.training.value_bytes // LEAST))
    owned_by_largest = owned_places(graph, partition, largest)

    def size(number: int) -> int:
        """Return the values of the last shard, the largest, of so many."""
        return _values(graph, _shard(graph, owned_by_largest, number - 1, number))

    return min(range(1, most + 1), key=size)


def places_in_shards(graph: Graph, partition: Partition, tile: int) -> tuple[Mapping[str, Place], ...]:
    """Return what each shard of a tile has of its parameters: their places, whole or in part (None: all of it)."""
    return _divided(graph, partition, tile, partition.shards_per_tile)


def shard_places(graph: Graph, partition: Partition, shard: int) -> Mapping[str, Place]:
    """Return the places of a shard's parameters."""
    tile, number = divmod(shard, partition.shards_per_tile)
    return places_in_shards(graph, partition, tile)[number]


def values_in_shards(graph: Graph, partition: Partition, tile: int) -> tuple[int, ...]:
    """Return how many values each shard of a tile has."""
    return tuple(_values(graph, places) for places in places_in_shards(graph, partition, tile))


def _divided(graph: Graph, partition: Partition, tile: int, number: int) -> tuple[Mapping[str, Place], ...]:
    owned = owned_places(graph, partition, tile)
    return tuple(_shard(graph, owned, n, number) for n in range(number))


def _shard(graph: Graph, owned: Mapping[str, Place], number: int, of: int) -> Mapping[str, Place]:
    shapes = {parameter.name: parameter.shape for parameter in graph.parameters}
    parts = {
        name: _part(place, shapes[name], number, of) if of > 1 else place for name, place in owned.items()
    }
    return {name: place for name, place in parts.items() if prod(shape_at(shapes[name], place))}


def _part(place: Place, shape: tuple[int, ...], number: int, of: int) -> Region | Rows:
    match place:
        case Region():
            return _cell(place, number, of)
        case Rows():
            return _rows(place, number, of)
    if len(shape) > 2:
        return _cell(whole(Size(shape[0], shape[1])), number, of)
    return _rows(Rows((Interval(0, shape[0]),)), number, of)


def _cell(region: Region, number: int, of: int) -> Region:
    """Return a cell of the grid whose largest cell is the smallest."""
    rows, columns = region.rows, region.columns
    grids = [Size(p, of // p) for p in range(1, of + 1) if of % p == 0]
    grid = min(grids, key=lambda grid: -(-rows.length // grid.rows) * -(-columns.length // grid.columns))
    row, column = divmod(number, grid.columns)
    return Region(part(rows.length, row, grid.rows), part(columns.length, column, grid.columns)).shift(
        rows.start, columns.start
    )


def _rows(rows: Rows, number: int, of: int) -> Rows:
    """Return the ranges that stand between two places, counted through all of them."""
    wanted, before = part(rows.length, number, of), 0
    found = []
    for each in rows.intervals:
        inside = wanted.intersect(Interval(before, before + each.length))
        if inside.length:
            start = each.start + inside.start - before
            found.append(Interval(start, start + inside.length))
        before += each.length
    return Rows(tuple(found))


def _values(graph: Graph, places: Mapping[str, Place]) -> int:
    return sum(prod(shape_at(p.shape, places[p.name])) for p in graph.parameters if p.name in places)
