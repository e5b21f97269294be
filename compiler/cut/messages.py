"""Graph x Partition -> the messages of one tile: those of halos, which the partition lists, and those of lines.

Every tile sends its partial sums of a dense layer to every other, so a plan would grow with the square of the tiles if it
listed them: each tile works out its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from lnet.compiler.core.layer import Layer
from lnet.compiler.graph.graph import Graph

from .deal import CutGraph, dealt
from .partition import Message, Partition, backward_views, kept_with_partition, made


@kept_with_partition
def sent_layers(graph: CutGraph, partition: Partition) -> frozenset[str]:
    """Return the layers of which any tile sends values."""
    halos = {message.layer for message in partition.messages}
    return frozenset(halos.union(path for path in graph.lines if _is_sent(graph.layer(path), partition)))


def _is_sent(line: Layer, partition: Partition) -> bool:
    pieces = [partition.piece(tile, line.path) for tile in range(partition.count)]
    return line.op.scatters or any(piece.held.area > piece.computed.area for piece in pieces)


def all_messages(graph: Graph, partition: Partition) -> Iterator[Message]:
    """Yield the messages of all tiles."""
    yield from partition.messages
    yield from _of_lines(dealt(graph, partition.tiles), partition)


def messages_of(graph: Graph, partition: Partition, tile: int) -> Iterator[Message]:
    """Yield the messages that a tile sends or receives."""
    yield from partition.messages_of_tiles[tile]
    others = (other for other in range(partition.count) if other != tile)
    ways = [way for other in others for way in ((tile, other), (other, tile))]
    yield from _of_lines(dealt(graph, partition.tiles), partition, ways)


def _of_lines(
    graph: CutGraph, partition: Partition, ways: list[tuple[int, int]] | None = None
) -> Iterator[Message]:
    """Yield the messages of layers that are dealt in lines, and those that answer them, for pairs of writer and reader.

    `ways` None: for all pairs in which one has anything to send and the other to receive.
    """
    for layer in graph.layers:
        if layer.path in graph.lines and _is_sent(layer, partition):
            back = backward_views(graph, layer)
            regions = [made(graph, partition, layer, other) for other in range(partition.count)]
            held = [partition.piece(other, layer.path).held for other in range(partition.count)]
            kind = "sum" if layer.op.scatters else "forward"
            writers, readers = ([i for i, each in enumerate(part) if each.area] for part in (regions, held))
            for writer, reader in product(writers, readers) if ways is None else ways:
                region = regions[writer].intersect(held[reader])
                if region.area and writer != reader:
                    values = region.area * layer.sheet.maps
                    yield Message(kind, layer.path, writer, reader, region, values)
                    if back:
                        yield Message("backward", layer.path, reader, writer, region, values * back)
