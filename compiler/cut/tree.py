"""The tree of a replica's tiles in which they add up a few numbers: tile 0 is its root."""

from __future__ import annotations

from collections.abc import Iterator

from lnet.compiler.graph.graph import Graph

BRANCHES = 8


def parent(tile: int) -> int:
    """Return the tile that a tile other than 0 sends its sum to."""
    return (tile - 1) // BRANCHES


def children(tile: int, tiles: int) -> range:
    """Return the tiles whose sums a tile adds to its own, in their order."""
    first = BRANCHES * tile + 1
    return range(min(first, tiles), min(first + BRANCHES, tiles))


def sums(graph: Graph, tiles: int) -> Iterator[tuple[int, int]]:
    """Yield the tiles that send each other sums for an update, each pair once: those of norms, if the file clips."""
    if graph.training.clip is not None:
        yield from ((tile, parent(tile)) for tile in range(1, tiles))


def measured(graph: Graph) -> tuple[str, ...]:
    """Return the names of the arrays whose norms count, in the order of the squares: no running values."""
    return tuple(parameter.name for parameter in graph.parameters if parameter.momentum is None)


def norms(graph: Graph) -> int:
    """Return in how many squared norms gradients are measured: one, one for each array that counts, 0 without `clip`."""
    clip = graph.training.clip
    return 0 if clip is None else len(measured(graph)) if clip.each else 1


def sums_sent(graph: Graph, tile: int, tiles: int) -> int:
    """Return how many messages with such sums a tile sends."""
    return 0 if graph.training.clip is None else len(children(tile, tiles)) + (tile > 0)
