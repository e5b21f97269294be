"""Which tiles of a replica decode images together, and whether that is worth its messages.

    tiles    0 1 2 3 | 4 5 6 7     two groups
    image 0  D < < < | D < < <     D: decoded here, and cut into the windows of the others
    image 1  < D < < | < D < <     <: a window comes from the tile of the group that decoded the image
    image 2  < < D < | < < D <

A tile reads its own window of every image. Alone it decodes whole batches, as every other one does; in a group of m tiles
it decodes an m-th of each batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from lnet.compiler.core.shapes import Region
from lnet.compiler.graph.graph import Graph

from .partition import Partition
from .placement import Placement

MOST = 16
"""Tiles of a group: each sends every other one a message in a step."""
IMAGE, VALUE = 1e-4, 8e-9
"""Processor seconds to read, decode and normalise an image as large as the input: for each, and for each value of it."""
MESSAGE, BYTE = 8e-4, 2e-9
"""Processor seconds of both ends for a message between two processes, and for each byte in it."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Processor seconds that a process takes in a step for images: decoded by each process alone, or by groups of tiles.

    `processes`: those that a replica's tiles lie on; `window`: the bytes that a tile of a group receives in a step.
    """

    processes: int
    groups: tuple[range, ...]
    window: int
    alone: float
    together: float

    @property
    def shared(self) -> bool:
        """Whether groups of tiles decode images together: it takes less."""
        return self.together < self.alone

    @property
    def times(self) -> int:
        """How often an image is decoded in a replica."""
        return len(self.groups) if self.shared else self.processes


def decoding(graph: Graph, partition: Partition, processes: int) -> Decoding:
    """Return what images cost on a number of processes to a replica."""
    training, groups = graph.training, groups_of(partition.count)
    batch, most = training.batch, max(map(len, groups))
    tiles = -(-partition.count // processes)
    largest = max(image_window(graph, partition, tile).area for tile in range(partition.count))
    values = largest * graph.input.sheet.maps * (batch - batch // most) * training.views
    received = values * training.value_bytes
    image = IMAGE + VALUE * graph.input.sheet.values
    together = tiles * (-(-batch // most) * image + (most - 1) * MESSAGE + received * BYTE)
    return Decoding(processes, groups, received, batch * image, together)


def processes_of(placement: Placement) -> int:
    """Return how many workers a replica's tiles lie on, at most."""
    return max(len(set(homes)) for homes in placement.tiles)


def groups_of(tiles: int) -> tuple[range, ...]:
    """Return the tiles of each group, in sizes as equal as can be."""
    count = -(-tiles // MOST)
    return tuple(range(i * tiles // count, (i + 1) * tiles // count) for i in range(count))


def group_of(tile: int, tiles: int) -> range:
    """Return the group of one of so many tiles."""
    return next(group for group in groups_of(tiles) if tile in group)


def image_window(graph: Graph, partition: Partition, tile: int) -> Region:
    """Return the part of an image that a tile reads."""
    return partition.piece(tile, graph.input.path).held
