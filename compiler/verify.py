"""Invariants of the compiler's stages, checked after every stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from .core.shapes import Region, whole
from .cut.deal import CutGraph, dealt
from .cut.partition import Partition
from .graph.graph import Graph


def demand(stage: str, faults: Iterable[str]) -> None:
    """Raise AssertionError if a stage violates an invariant: a bug in the compiler, never a user's mistake."""
    found = list(faults)
    if found:
        raise AssertionError(f"after {stage}: {'; '.join(found)}")


def graph_faults(graph: Graph) -> Iterator[str]:
    """Yield violated invariants of a graph."""
    seen: set[str] = set()
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in graph.layers:
        yield from (
            f"{layer.path} reads {path}, which is not above it" for path in layer.reads if path not in seen
        )
        if layer.path in seen:
            yield f"there are two layers {layer.path}"
        if min(layer.sheet.height, layer.sheet.width, layer.sheet.maps) < 1:
            yield f"{layer.path} is empty: {layer.sheet}"
        if layer.patch and layer.patch.rows * layer.patch.columns != layer.sheet.maps:
            yield f"{layer.path} has {layer.sheet.maps} maps in a patch of {layer.patch}"
        for parameter in layer.parameters:
            if shapes.setdefault(parameter.name, parameter.shape) != parameter.shape:
                yield f"{parameter.name} has two shapes"
        weights = {role: w.shape for role, w in layer.op.weights().items()}
        if weights != {p.role: p.shape for p in layer.parameters}:
            yield f"{layer.path} needs parameters {weights}"
        seen.add(layer.path)
    yield from (f"{path} names no layer" for path in graph.derived if path not in seen)
    yield from (f"the stage {stage} has no layer {path}" for stage, path in graph.stages if path not in seen)
    for objective in graph.objectives:
        yield from (f"{objective.path} reads {path}" for path in objective.reads if path not in graph)


def partition_faults(graph: Graph, partition: Partition) -> Iterator[str]:
    """Yield violated invariants of a partition."""
    cut_graph = dealt(graph, partition.tiles)
    yield from _ownership_faults(cut_graph, partition)
    yield from _need_faults(cut_graph, partition)


def _ownership_faults(graph: Graph, partition: Partition) -> Iterator[str]:
    """Every position has one owner; owners compute what they own; what is computed is held."""
    for number, layer in enumerate(graph.layers):
        pieces = [of_tile[number] for of_tile in partition.pieces]
        if sum(piece.owned.area for piece in pieces) != layer.sheet.height * layer.sheet.width:
            yield f"{layer.path} is not owned once everywhere"
        for tile, piece in enumerate(pieces):
            inside = whole(layer.sheet.size)
            for name, smaller, larger in (
                ("owns what it does not compute of", piece.owned, piece.computed),
                ("computes what it does not hold of", piece.computed, piece.held),
                ("holds what is outside", piece.held, inside),
            ):
                if not _covers(larger, smaller):
                    yield f"tile {tile} {name} {layer.path}: {smaller} in {larger}"


def _need_faults(graph: CutGraph, partition: Partition) -> Iterator[str]:
    """A tile holds all that it reads; held values that it does not compute are received, once."""
    sent: Counter[tuple[int, str]] = Counter()
    for message in partition.messages:
        if message.kind == "forward":
            sent[message.receiver, message.layer] += message.region.area
    for tile, pieces in enumerate(partition.pieces):
        held = {piece.layer: piece for piece in pieces}
        for piece in pieces:
            layer = graph.layer(piece.layer)
            for number, path in enumerate(layer.reads):
                operand = graph.layer(path)
                if layer.op.scatters:
                    needed = held[operand.path].owned
                else:
                    needed = layer.op.needs_of(number, piece.computed).clip(operand.sheet.size)
                if not _covers(held[operand.path].held, needed):
                    yield f"tile {tile} computes {layer.path} without all of {path}"
            missing = piece.held.area - piece.computed.area
            listed = not layer.op.scatters and layer.path not in graph.lines
            if listed and sent[tile, layer.path] != missing:
                yield f"tile {tile} holds {piece.held} of {layer.path}, but computes and gets other than that"


def _covers(larger: Region, smaller: Region) -> bool:
    return larger.intersect(smaller).area == smaller.area
