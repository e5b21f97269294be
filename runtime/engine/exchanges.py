"""The arrays that a tile receives in a step, with their shapes, known before the first one arrives.

The exchanges are those that shard.py yields: broadcast weights and their gradients, halos and partial sums of layers,
and their gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lnet.compiler.core.shapes import Region, Strip, shape_at
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.messages import messages_of
from lnet.compiler.cut.partition import Partition
from lnet.compiler.cut.schedule import Programme
from lnet.compiler.graph.graph import Graph

Shape = tuple[int, ...]
Exchanges = Mapping[tuple[int, str], tuple[Shape, ...]]
"""Shapes by the tile that sends them and the name of the exchange."""


def exchanges(graph: Graph, partition: Partition, programme: Programme, rows: int) -> Exchanges:
    """Return the arrays that a programme's tile receives for a batch of so many rows."""
    return dict(_Expected(graph, partition, programme, rows).all())


class _Expected:
    def __init__(self, graph: Graph, partition: Partition, programme: Programme, rows: int) -> None:
        self.graph, self.programme, self.rows = dealt(graph, partition.tiles), programme, rows
        self.shapes = {parameter.name: parameter.shape for parameter in graph.parameters}
        self.regions = {
            (message.sender, message.layer): message.region
            for message in messages_of(graph, partition, programme.tile)
            if message.kind != "backward" and message.receiver == programme.tile
        }

    def all(self) -> Iterator[tuple[tuple[int, str], tuple[Shape, ...]]]:
        received: dict[int, list[Shape]] = {}
        for weights in self.programme.weights:
            for owner, strip in weights.received:
                received.setdefault(owner, []).append(self._weight(weights.name, strip))
        for owner, shapes in received.items():
            yield (owner, "weights"), tuple(shapes)
        for receiver, parts in self.programme.broadcasts:
            yield (receiver, "gradients of weights"), tuple(self._weight(*part) for part in parts)
        for number, phase in enumerate(self.programme.phases):
            for sender, paths in phase.receives:
                yield (
                    (sender, f"values {number}"),
                    tuple(self._values(path, self.regions[sender, path]) for path in paths),
                )
            for reader, sent in phase.sends:
                back = tuple(shape for path, region in sent for shape in self._gradients(path, region))
                if back:
                    yield (reader, f"gradients {number}"), back

    def _weight(self, name: str, strip: Strip | None) -> Shape:
        return shape_at(self.shapes[name], strip)

    def _values(self, path: str, region: Region) -> Shape:
        layer = self.graph.layer(path)
        return region.size.rows, region.size.columns, layer.sheet.maps, layer.op.batch_rows(self.rows)

    def _gradients(self, path: str, region: Region) -> tuple[Shape, ...]:
        """Return the shapes of the gradients of a part of a layer: one in each view that trains it."""
        views = self.graph.trained_views[path] if path in self.programme.returned else ()
        return (self._values(path, region),) * len(views)
