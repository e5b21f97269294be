"""Graph x tiles -> Partition: which tile owns, computes and receives which region of every layer.

Every sheet is cut by the same relative lines into p x q tiles. A layer with weights is computed once, by the tile that
owns the position, and its *halo*, the values that other tiles read, is sent to them. Pools, normalisations and pointwise
layers have no weights, so every tile computes their halo itself:

        owned by the tile left          owned by the tile right
    V1.filter  . . . . . . . . . |. . . . . . . . . .
                        [========|===                     received: 3 columns of V1.filter
    V1.pool    . . . . . . . . . |. . .                   computed by both tiles
    V2.filter  . . . . . . . .   |                        what the tile left computes reads all that

A decoder's units write into pixels of neighbouring tiles: every tile adds up what its own units write, and tiles whose
pixels overlap exchange these partial sums, so that each has the reconstruction wherever its units write.

    forward   values of the halo                     owner -> reader
    sum       partial sums of a decoder              writer -> writer
    backward  gradients of the halo                  reader -> owner

Gradients of partial sums are not sent where only errors read the reconstruction: the tile that wrote it has the error.
The units of dense layers are dealt to the tiles in a line (deal.py); their sums are partial sums, too.
A halo may cross several tiles, and a small top layer leaves tiles empty: regions are intervals, not lists of neighbours.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, wraps
from math import sqrt
from typing import Any, Protocol, TypeVar

from lnet.compiler.core.layer import Layer, Op
from lnet.compiler.core.shapes import Interval, Region, Size, part, whole
from lnet.compiler.graph.graph import Graph

from .deal import CutGraph, dealt

G = TypeVar("G", bound=Graph)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Piece:
    """One tile's regions of one layer: owned, computed, and held after the exchange."""

    layer: str
    owned: Region
    computed: Region
    held: Region


@dataclass(frozen=True, slots=True)
class Message:
    """A region of a layer, for each image of a step, from one tile to another."""

    kind: str  # forward | sum | backward
    layer: str
    sender: int
    receiver: int
    region: Region
    values: int


@dataclass(frozen=True)
class Partition:
    """A graph cut into tiles, numbered row by row; all replicas are cut alike.

    `exchanged` are the layers whose halos are sent; tiles compute those of other layers themselves. `messages` are those of
    halos; what tiles send of lines follows from the pieces (messages.py). `shards_per_tile`: between how many shards the
    parameters of each tile are divided (shards.py); shard s is one of tile s // shards_per_tile.
    """

    tiles: Size
    exchanged: tuple[str, ...]
    pieces: tuple[tuple[Piece, ...], ...]
    messages: tuple[Message, ...]
    shards_per_tile: int = 1

    @property
    def count(self) -> int:
        return self.tiles.rows * self.tiles.columns

    @property
    def shards(self) -> int:
        return self.count * self.shards_per_tile

    def shards_of(self, tile: int) -> range:
        """Return the shards of a tile's parameters, by number."""
        return range(tile * self.shards_per_tile, (tile + 1) * self.shards_per_tile)

    def piece(self, tile: int, layer: str) -> Piece:
        """Return a tile's piece of a layer."""
        return self.pieces[tile][self._numbers[layer]]

    def has(self, graph: CutGraph) -> bool:
        """Whether it is of the layers of a graph: an older compiler may have dealt some of them otherwise."""
        return all(
            [piece.layer for piece in pieces] == [layer.path for layer in graph.layers]
            for pieces in self.pieces
        )

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {piece.layer: number for number, piece in enumerate(self.pieces[0])}

    @cached_property
    def kept(self) -> dict[tuple[object, Graph], Any]:
        """What functions of it and a graph have returned (`kept_with_partition`)."""
        return {}

    @cached_property
    def messages_of_tiles(self) -> tuple[tuple[Message, ...], ...]:
        """The messages of halos that each tile sends or receives."""
        return by_tile(self.messages, self.count)

    @cached_property
    def halo_values(self) -> int:
        """Values of halos that cross tiles in one step, for one image."""
        return sum(message.values for message in self.messages)


class Sent(Protocol):
    """What one tile sends to another."""

    @property
    def sender(self) -> int: ...

    @property
    def receiver(self) -> int: ...


S = TypeVar("S", bound=Sent)


def by_tile(messages: Iterable[S], tiles: int) -> tuple[tuple[S, ...], ...]:
    """Return for each tile the messages that it sends or receives."""
    found: list[list[S]] = [[] for _ in range(tiles)]
    for message in messages:
        found[message.sender].append(message)
        found[message.receiver].append(message)
    return tuple(map(tuple, found))


def kept_with_partition(function: Callable[[G, Partition], R]) -> Callable[[G, Partition], R]:
    """Return a function of a graph and a partition that keeps what it returns as long as there is the partition."""

    @wraps(function)
    def kept(graph: G, partition: Partition) -> R:
        key = function, graph
        if key not in partition.kept:
            partition.kept[key] = function(graph, partition)
        found: R = partition.kept[key]
        return found

    return kept


def partition(graph: Graph, tiles: Size) -> Partition:
    """Cut a graph into p x q tiles, exchanging after a strided pool where that moves fewer bytes."""
    graph = dealt(graph, tiles)
    exchanged = frozenset(layer.path for layer in graph.layers if layer.op.exchanged)
    best = _cut(graph, tiles, exchanged)
    for layer in graph.layers:
        if layer.op.strided:
            candidate = _cut(graph, tiles, exchanged | {layer.path})
            if candidate.halo_values < best.halo_values:
                best, exchanged = candidate, exchanged | {layer.path}
    return best


def best_tiles(graph: Graph, count: int) -> Size:
    """Return the p x q grid of `count` tiles that moves the fewest bytes; the widest one on a tie.

    Grids whose largest tile holds over a quarter more than that of another are left out: all would wait for it.
    """
    cuts = [partition(graph, Size(p, count // p)) for p in range(1, count + 1) if count % p == 0]
    largest = {cut.tiles: _largest_tile(graph, cut) for cut in cuts}
    even = [cut for cut in cuts if largest[cut.tiles] <= 1.25 * min(largest.values())]
    return min(even, key=lambda cut: (cut.halo_values, cut.tiles.rows)).tiles


def _largest_tile(graph: Graph, cut: Partition) -> int:
    """Return the number of values held by the largest tile."""
    cut_graph = dealt(graph, cut.tiles)
    return max(
        sum(piece.held.area * cut_graph.layer(piece.layer).sheet.maps for piece in pieces)
        for pieces in cut.pieces
    )


# --- ownership -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cuts:
    """How sheets are cut: by the same relative lines, dealt to the tiles by their numbers (lines), or like their operand."""

    graph: CutGraph
    tiles: Size

    @property
    def count(self) -> int:
        return self.tiles.rows * self.tiles.columns

    def owned(self, tile: int, layer: Layer) -> Region:
        """Return a tile's own positions of a layer."""
        if layer.op.follows:
            operand, seen = self._followed(layer)
            return self.owned(tile, operand).intersect(seen).within(seen)
        size, grid = layer.sheet.size, self._grid(layer)
        row, column = divmod(tile, grid.columns)
        return Region(part(size.rows, row, grid.rows), part(size.columns, column, grid.columns))

    def owners(self, region: Region, layer: Layer) -> Iterator[tuple[int, Region]]:
        """Yield the tiles that own part of a region of a layer, each with its part."""
        if layer.op.follows:
            operand, seen = self._followed(layer)
            yield from (
                (tile, part.within(seen)) for tile, part in self.owners(layer.op.needs(region), operand)
            )
            return
        size, grid = layer.sheet.size, self._grid(layer)
        for row, rows in _parts(region.rows, size.rows, grid.rows):
            for column, columns in _parts(region.columns, size.columns, grid.columns):
                yield row * grid.columns + column, Region(rows, columns)

    def _grid(self, layer: Layer) -> Size:
        return Size(self.count, 1) if layer.path in self.graph.lines else self.tiles

    def _followed(self, layer: Layer) -> tuple[Layer, Region]:
        """Return the operand of an op that follows it, and the region of it that is the value."""
        return self.graph.layer(layer.reads[0]), layer.op.needs(whole(layer.sheet.size))


def _parts(interval: Interval, extent: int, parts: int) -> Iterator[tuple[int, Interval]]:
    if not interval.length:
        return
    lines = [extent * number // parts for number in range(parts + 1)]
    number = bisect_right(lines, interval.start) - 1
    while number < parts and lines[number] < interval.stop:
        here = Interval(lines[number], lines[number + 1]).intersect(interval)
        if here.length:
            yield number, here
        number += 1


def made(graph: Graph, partition: Partition, layer: Layer, tile: int) -> Region:
    """Return the region of a layer that a tile computes, of one that scatters wherever its units write."""
    if layer.op.scatters:
        return layer.op.writes(partition.piece(tile, graph.layer(layer.reads[0]).path).owned)
    return partition.piece(tile, layer.path).computed


# --- regions ---------------------------------------------------------------------------------------------


def _cut(graph: CutGraph, tiles: Size, exchanged: frozenset[str]) -> Partition:
    cuts = Cuts(graph, tiles)
    pieces = tuple(tuple(_pieces(graph, cuts, tile, exchanged)) for tile in range(cuts.count))
    held = [{piece.layer: piece for piece in of_tile} for of_tile in pieces]
    messages = [
        message
        for layer in graph.layers
        if layer.path in exchanged and layer.path not in graph.lines
        for tile in range(cuts.count)
        for message in _messages(graph, layer, cuts, held, tile)
    ]
    ordered = tuple(layer.path for layer in graph.layers if layer.path in exchanged)
    return Partition(tiles, ordered, pieces, tuple(messages))


def _pieces(graph: Graph, cuts: Cuts, tile: int, exchanged: frozenset[str]) -> list[Piece]:
    """Walk from the last layer to the first, collecting the region of each that later layers read."""
    needed = _residuals(graph, cuts, tile)
    pieces: list[Piece] = []
    for layer in reversed(graph.layers):
        owned = cuts.owned(tile, layer)
        held = _hull(owned, needed.get(layer.path))
        computed = owned if layer.path in exchanged else held
        if layer.op.scatters and not layer.op.reduces:
            units = cuts.owned(tile, graph.layer(layer.reads[0]))
            held = held.hull(layer.op.writes(units))
        pieces.append(Piece(layer.path, owned, computed, held))
        _need_operands(graph, layer, computed, needed, cuts, tile)
    return pieces[::-1]


def _residuals(graph: Graph, cuts: Cuts, tile: int) -> dict[str, Region]:
    """Return the targets of a tile's decoders: units learn from the residual wherever they write."""
    needed: dict[str, Region] = {}
    for objective in graph.objectives:
        operands = [graph.layer(path) for path in objective.reads]
        for decoder in operands:
            if objective.term.is_error and decoder.op.scatters:
                units = cuts.owned(tile, graph.layer(decoder.reads[0]))
                written = decoder.op.writes(units)
                for operand in operands:
                    needed[operand.path] = _hull(written, needed.get(operand.path))
    return needed


def _need_operands(
    graph: Graph, layer: Layer, computed: Region, needed: dict[str, Region], cuts: Cuts, tile: int
) -> None:
    for number, path in enumerate(layer.reads):
        operand = graph.layer(path)
        if layer.op.scatters:  # reads the tile's own units and writes wherever they write
            region = cuts.owned(tile, operand)
        else:
            region = layer.op.needs_of(number, computed).clip(operand.sheet.size)
        needed[operand.path] = _hull(region, needed.get(operand.path))


def _hull(region: Region, other: Region | None) -> Region:
    return region if other is None else region.hull(other)


# --- messages --------------------------------------------------------------------------------------------


def _messages(
    graph: Graph, layer: Layer, cuts: Cuts, held: list[dict[str, Piece]], tile: int
) -> Iterator[Message]:
    """Yield the messages that bring a tile the halo of a layer, and those that return its gradients."""
    piece = held[tile][layer.path]
    if layer.op.scatters:
        yield from _sums(graph, layer, cuts, piece, tile)
        return
    back = backward_views(graph, layer)
    for owner, region in cuts.owners(piece.held, layer):
        if owner != tile:
            values = region.area * layer.sheet.maps
            yield Message("forward", layer.path, owner, tile, region, values)
            if back:
                yield Message("backward", layer.path, tile, owner, region, values * back)


def _sums(graph: Graph, layer: Layer, cuts: Cuts, piece: Piece, tile: int) -> Iterator[Message]:
    units = graph.layer(layer.reads[0])
    reaching = layer.op.needs(piece.held)
    back = backward_views(graph, layer)
    for writer, _ in cuts.owners(reaching, units):
        region = layer.op.writes(cuts.owned(writer, units)).intersect(piece.held)
        if writer != tile and region.area:
            values = region.area * layer.sheet.maps
            yield Message("sum", layer.path, writer, tile, region, values)
            if back:
                yield Message("backward", layer.path, tile, writer, region, values * back)


def backward_views(graph: Graph, layer: Layer) -> int:
    """Return how many gradients answer a layer's values: one for each view, none where those who read them have them."""
    read = graph.readers[layer.path] or layer.path in graph.read_beyond_errors
    if layer.op.scatters and not read:
        return 0
    return len(graph.trained_views[layer.path])


# --- quality ---------------------------------------------------------------------------------------------


def lower_bound(graph: Graph, partition: Partition, tile: int) -> float:
    """Return the smallest possible halo of a tile of this area, in values for one image.

    A square tile of area A with a halo of depth `d` receives `(sqrt(A) + 2 d)^2 - A` values, fewer at the sheet's
    border. With a halo of `r` rows and `c` columns, both sides together, the best rectangle of area A receives
    `2 sqrt(A r c) + r c`; a tile that spans an axis receives the halo of the other axis alone. The gradients of the halo
    count again. Of a decoder's partial sums at least one value is received for every position that the tile holds and
    units of other tiles write to. Lines do not count.
    """
    graph = dealt(graph, partition.tiles)
    cuts, exchanged, total = Cuts(graph, partition.tiles), frozenset(partition.exchanged), 0.0
    for piece in partition.pieces[tile]:
        layer = graph.layer(piece.layer)
        if layer.path not in exchanged or layer.path in graph.lines:
            continue
        if layer.op.scatters:
            units = graph.layer(layer.reads[0])
            fewest: float = _fewest_sums(layer.op, cuts.owned(tile, units), piece.held)
        else:
            fewest = _least_halo(piece.owned, piece.held) * (1 + len(graph.trained_views[layer.path]))
        total += fewest * layer.sheet.maps
    return total


def _least_halo(owned: Region, held: Region) -> float:
    """Return the least area of a halo as deep as that of `held`, over all rectangles with the area of `owned`."""
    if not owned.area:
        return held.area
    rows, columns = held.size.rows - owned.size.rows, held.size.columns - owned.size.columns
    if not rows or not columns:
        return rows * owned.size.columns + columns * owned.size.rows
    return 2 * sqrt(owned.area * rows * columns) + rows * columns


def _fewest_sums(op: Op, units: Region, held: Region) -> int:
    """Return the number of held positions that units of other tiles write to: each takes at least one value."""
    rows, own_rows = _written([op.needs(Region(i, held.columns)).rows for i in _each(held.rows)], units.rows)
    columns, own_columns = _written(
        [op.needs(Region(held.rows, i)).columns for i in _each(held.columns)], units.columns
    )
    return rows * columns - own_rows * own_columns


def _each(positions: Interval) -> list[Interval]:
    return [Interval(i, i + 1) for i in range(positions.start, positions.stop)]


def _written(writers: list[Interval], units: Interval) -> tuple[int, int]:
    """Return the number of positions along an axis that any unit writes to, and of those only the tile's own units do."""
    written = [some for some in writers if some.length]
    return len(written), sum(some.intersect(units) == some for some in written)


def input_values(graph: Graph, partition: Partition, tile: int) -> int:
    """Return the number of values of an image that a tile reads."""
    return partition.piece(tile, graph.input.path).held.area * graph.input.sheet.maps
