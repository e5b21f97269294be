"""Which tile owns which weights, and which are broadcast inside a replica.

Weights of a layer with weights at every position are cut like its sheet, those of a dense layer like what it reads, and
its bias like its units. Weights that positions share belong to one tile, which broadcasts them to the tiles that compute
with them and reduces their gradients: the largest layers first, each goes to the tile that owns least. `smooth` compares
the weights of neighbouring units: a tile receives a column of those to the right of its own and a row of those below them,
and sends their gradients back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from lnet.compiler.core.layer import Layer, Op, Parameter
from lnet.compiler.core.shapes import Place, Region, Rows, Size, Strip, shape_at
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import Term

from .deal import CutGraph, dealt
from .partition import Cuts, Partition, by_tile, kept_with_partition


@dataclass(frozen=True, slots=True)
class WeightMessage:
    """A parameter, or a strip of it, from the tile that owns it to one that reads it.

    Its gradients are sent the other way.
    """

    name: str
    sender: int
    receiver: int
    strip: Strip | None
    values: int


OWN = -1
"""In the place of a tile's number: the tile itself, which has what it compares at its other end."""


@dataclass(frozen=True, slots=True)
class Border:
    """The tiles that own the units beyond those of a tile: to the right, below and at the corner between; None: no tile."""

    right: int | None = None
    below: int | None = None
    corner: int | None = None


NO_BORDER = Border()


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
    cuts = Cuts(graph, tiles)
    for layer in graph.layers:
        cut = [parameter for parameter in layer.parameters if _is_cut(parameter, layer.op)]
        if cut:
            units = graph.layer(layer.reads[0]) if layer.op.scatters else layer
            region = cuts.owned(tile, units)
            place = Rows.over(region, units.sheet) if layer.op.value_weights else region
            yield from ((parameter.name, place) for parameter in cut if region.area)


def _is_cut(parameter: Parameter, op: Op) -> bool:
    return op.value_weights or parameter.role in op.position_roles


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
        shared = [p for p in layer.parameters if p.name not in seen and not _is_cut(p, layer.op)]
        layers[layer.path] = tuple(shared)
        seen.update(parameter.name for parameter in shared)
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


@kept_with_partition
def weight_messages(graph: Graph, partition: Partition) -> tuple[WeightMessage, ...]:
    """Return the weights that tiles of one replica broadcast before a step; their gradients are reduced after it."""
    cut_graph = dealt(graph, partition.tiles)
    owners = _shared_owners(graph, partition.tiles)
    return (*_shared(cut_graph, partition, owners), *_neighbours(cut_graph, partition))


@kept_with_partition
def weight_messages_of_tiles(graph: Graph, partition: Partition) -> tuple[tuple[WeightMessage, ...], ...]:
    """Return for each tile those that it sends or receives."""
    return by_tile(weight_messages(graph, partition), partition.count)


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
    """Yield the strips of parameters that terms compare with a tile's own, each once."""
    cuts, seen = Cuts(graph, partition.tiles), set()
    for objective in graph.objectives:
        layer = graph.layer(objective.reads[0])
        read = [parameter for parameter in layer.parameters if objective.term.reads_parameter(parameter)]
        for tile in range(partition.count):
            for owner, strip in _beyond(objective.term, layer, cuts, tile):
                for parameter in read:
                    if (parameter.name, owner, tile) not in seen:
                        seen.add((parameter.name, owner, tile))
                        yield WeightMessage(parameter.name, owner, tile, strip, _values(parameter, strip))


def border(term: Term, layer: Layer, cuts: Cuts, tile: int) -> Border:
    """Return the tiles that own the units of a layer which a term compares with those of a tile, and that lie beyond."""
    right, below, corner = (
        None if strip is None else next(owner for owner, _ in cuts.owners(strip.region, layer))
        for strip in term.strips(cuts.owned(tile, layer), layer.sheet)
    )
    if tile in (right, below):
        corner = None  # the first unit of the strip beyond the other side
    return Border(*(OWN if owner == tile else owner for owner in (right, below, corner)))


def _beyond(term: Term, layer: Layer, cuts: Cuts, tile: int) -> Iterator[tuple[int, Strip]]:
    """Yield the strips that a term compares with a tile's own units and that other tiles own."""
    found, strips = border(term, layer, cuts, tile), term.strips(cuts.owned(tile, layer), layer.sheet)
    for owner, strip in zip((found.right, found.below, found.corner), strips, strict=True):
        if owner not in (None, OWN) and strip is not None:
            yield owner, strip


def _values(parameter: Parameter, place: Place | Strip) -> int:
    return prod(shape_at(parameter.shape, place))
