"""Which tile owns which weights, and which are broadcast inside a replica.

Weights of a layer with weights at every position are cut like its sheet, those of a dense layer like what it reads, and
its bias like its units. Weights that positions share belong to one tile, which broadcasts them to the tiles that compute
with them and reduces their gradients: the largest layers first, each goes to the tile that owns least. `smooth` compares
the weights of neighbouring positions: a tile receives those to the right of its own and below them, and sends their
gradients back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from lnet.compiler.core.layer import Layer, Parameter
from lnet.compiler.core.shapes import Interval, Place, Region, Rows, Size, shape_at
from lnet.compiler.graph.graph import Graph

from .deal import CutGraph, dealt
from .partition import Cuts, Partition


@dataclass(frozen=True, slots=True)
class WeightMessage:
    """A parameter, or its weights at a region of positions, from the tile that owns them to one that reads them.

    Its gradients are sent the other way.
    """

    name: str
    sender: int
    receiver: int
    region: Region | None
    values: int


def works(partition: Partition, graph: Graph, layer: Layer, tile: int) -> bool:
    """Whether a tile computes any of a layer; a decoder's work is that of its units."""
    if layer.op.scatters:
        return partition.piece(tile, graph.layer(layer.reads[0]).path).owned.area > 0
    return partition.piece(tile, layer.path).computed.area > 0


def owned_places(graph: Graph, partition: Partition, tile: int) -> Mapping[str, Place]:
    """Return the parameters that a tile owns, whole or in part, with their places (None: shared, so all of it)."""
    owned: dict[str, Place] = dict(_cut_places(graph, partition.tiles, tile))
    shared = _shared_owners(graph, partition.tiles)
    return {
        p.name: owned.get(p.name) for p in graph.parameters if p.name in owned or shared.get(p.name) == tile
    }


def _cut_places(graph: Graph, tiles: Size, tile: int) -> Iterator[tuple[str, Region | Rows]]:
    """Yield the weights of positions and values that a tile owns, with their places."""
    graph = dealt(graph, tiles)
    cuts = Cuts.of(graph, tiles)
    for layer in graph.layers:
        if _is_cut(layer):
            units = graph.layer(layer.reads[0]) if layer.op.scatters else layer
            region = cuts.owned(tile, units)
            place = Rows.over(region, units.sheet) if layer.op.value_weights else region
            yield from ((parameter.name, place) for parameter in layer.parameters if region.area)


def _is_cut(layer: Layer) -> bool:
    return layer.op.position_weights or layer.op.value_weights


@lru_cache(maxsize=16)
def _shared_owners(graph: Graph, tiles: Size) -> Mapping[str, int]:
    """Return the tiles that own weights which positions share, so that all tiles own as many values as can be."""
    whole = {parameter.name: parameter for parameter in graph.parameters}
    owned = [
        sum(_values(whole[name], place) for name, place in dict(_cut_places(graph, tiles, tile)).items())
        for tile in range(tiles.rows * tiles.columns)
    ]
    layers: dict[str, tuple[Parameter, ...]] = {}
    seen: set[str] = set()
    for layer in dealt(graph, tiles).layers:
        if not _is_cut(layer):
            layers[layer.path] = tuple(p for p in layer.parameters if p.name not in seen)
            seen.update(parameter.name for parameter in layer.parameters)
    owners: dict[str, int] = {}
    for parameters in sorted(layers.values(), key=lambda found: -sum(p.size for p in found)):
        least = owned.index(min(owned))
        owned[least] += sum(parameter.size for parameter in parameters)
        owners |= {parameter.name: least for parameter in parameters}
    return owners


def owned_parameters(graph: Graph, partition: Partition, tile: int) -> Mapping[str, int]:
    """Return how many values of each parameter a tile's server holds."""
    places = owned_places(graph, partition, tile)
    return {p.name: _values(p, places[p.name]) for p in graph.parameters if p.name in places}


def weight_messages(graph: Graph, partition: Partition) -> tuple[WeightMessage, ...]:
    """Return the weights that tiles of one replica broadcast before a step; their gradients are reduced after it."""
    cut_graph = dealt(graph, partition.tiles)
    owners = _shared_owners(graph, partition.tiles)
    return (*_shared(cut_graph, partition, owners), *_neighbours(cut_graph, partition))


def _shared(graph: CutGraph, partition: Partition, owners: Mapping[str, int]) -> Iterator[WeightMessage]:
    seen = set()
    for layer in graph.layers:
        for parameter in layer.parameters:
            for tile in range(partition.count):
                name, owner = parameter.name, owners.get(parameter.name, tile)
                if tile == owner or (name, tile) in seen:
                    continue
                if works(partition, graph, layer, tile):
                    seen.add((name, tile))
                    yield WeightMessage(name, owner, tile, None, parameter.size)


def _neighbours(graph: CutGraph, partition: Partition) -> Iterator[WeightMessage]:
    cuts = Cuts.of(graph, partition.tiles)
    compared = {graph.layer(o.reads[0]).path for o in graph.objectives if o.term.reads_weights}
    for layer in graph.layers:
        if layer.path not in compared:
            continue
        weight, size = layer.parameters[0], layer.sheet.size
        for tile in range(partition.count):
            for strip in _strips(cuts.owned(tile, layer), size):
                for owner, region in cuts.owners(strip, layer):
                    yield WeightMessage(weight.name, owner, tile, region, _values(weight, region))


def _strips(owned: Region, size: Size) -> tuple[Region, ...]:
    """Return the positions right of a region and below it."""
    if not owned.area:
        return ()
    right = Interval(owned.columns.stop, owned.columns.stop + 1)
    below = Interval(owned.rows.stop, owned.rows.stop + 1)
    return (Region(owned.rows, right).clip(size), Region(below, owned.columns).clip(size))


def _values(parameter: Parameter, place: Place) -> int:
    return prod(shape_at(parameter.shape, place))
