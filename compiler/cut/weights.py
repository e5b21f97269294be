"""Which tile owns which weights, and which are broadcast inside a replica.

Weights of a layer with weights at every position are cut like its sheet. Weights that positions share belong to tile 0,
which broadcasts them to the tiles that compute with them and reduces their gradients. `smooth` compares the weights of
neighbouring positions: a tile receives those to the right of its own and below them, and sends their gradients back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from lnet.compiler.core.layer import Layer, Parameter
from lnet.compiler.core.shapes import Interval, Region, Size
from lnet.compiler.graph.graph import Graph

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


def owned_regions(graph: Graph, partition: Partition, tile: int) -> Mapping[str, Region | None]:
    """Return the parameters that a tile owns, whole or in part, with their positions (None: shared, so all of it)."""
    cuts = Cuts(partition.tiles)
    owned: dict[str, Region | None] = {}
    for layer in graph.layers:
        for parameter in layer.parameters:
            if not layer.op.position_weights:
                if tile == 0:
                    owned[parameter.name] = None
            elif (region := cuts.owned(tile, _positions(parameter))).area:
                owned[parameter.name] = region
    return owned


def owned_parameters(graph: Graph, partition: Partition, tile: int) -> Mapping[str, int]:
    """Return how many values of each parameter a tile's server holds."""
    regions = owned_regions(graph, partition, tile)
    return {
        p.name: _values(p, region)
        for p in graph.parameters
        if p.name in regions
        for region in [regions[p.name]]
    }


def weight_messages(graph: Graph, partition: Partition) -> tuple[WeightMessage, ...]:
    """Return the weights that tiles of one replica broadcast before a step; their gradients are reduced after it."""
    return (*_shared(graph, partition), *_neighbours(graph, partition))


def _shared(graph: Graph, partition: Partition) -> Iterator[WeightMessage]:
    seen = set()
    for layer in graph.layers:
        for parameter in layer.parameters:
            for tile in range(1, partition.count):
                if layer.op.position_weights or (parameter.name, tile) in seen:
                    continue
                if works(partition, graph, layer, tile):
                    seen.add((parameter.name, tile))
                    yield WeightMessage(parameter.name, 0, tile, None, parameter.size)


def _neighbours(graph: Graph, partition: Partition) -> Iterator[WeightMessage]:
    cuts = Cuts(partition.tiles)
    compared = {graph.layer(o.reads[0]).path for o in graph.objectives if o.term.reads_weights}
    for layer in graph.layers:
        if layer.path not in compared:
            continue
        weight, size = layer.parameters[0], layer.sheet.size
        for tile in range(partition.count):
            for strip in _strips(cuts.owned(tile, size), size):
                for owner, region in cuts.owners(strip, size):
                    yield WeightMessage(weight.name, owner, tile, region, _values(weight, region))


def _strips(owned: Region, size: Size) -> tuple[Region, ...]:
    """Return the positions right of a region and below it."""
    if not owned.area:
        return ()
    right = Interval(owned.columns.stop, owned.columns.stop + 1)
    below = Interval(owned.rows.stop, owned.rows.stop + 1)
    return (Region(owned.rows, right).clip(size), Region(below, owned.columns).clip(size))


def _positions(parameter: Parameter) -> Size:
    return Size(parameter.shape[0], parameter.shape[1])


def _values(parameter: Parameter, region: Region | None) -> int:
    return parameter.size if region is None else region.area * prod(parameter.shape[2:])
