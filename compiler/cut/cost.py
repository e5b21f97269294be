"""Cost of a plan: arithmetic, memory and traffic, by layer and by tile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lnet.compiler.core.layer import Layer, Parameter
from lnet.compiler.core.shapes import Sheet, Size, extents
from lnet.compiler.graph.graph import Graph
from lnet.compiler.graph.receptive_field import receptive_field
from lnet.compiler.objectives import Objective

from .deal import dealt
from .messages import all_messages
from .partition import Partition, input_values, kept_with_partition, lower_bound, made
from .schedule import message_counts, schedule
from .shards import values_in_shards
from .tree import sums_sent
from .weights import owned_parameters, weight_messages

PASSES = 2
"""Peak memory of a training step, as a multiple of its activations: all of them, and values derived from some."""
PROCESS = 100_000_000
"""Bytes for compiling a step, and for the threads that run it."""
BATCHES = 5
"""Batches of images held beside the step: those decoded ahead, and the current one."""


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer of one replica; bytes of activations at the file's batch."""

    path: str
    kind: str
    sheet: Sheet
    patch: Size | None
    field: Size | None
    receptive_field: Size
    weights: int
    multiply_adds: int
    parameter_bytes: int
    state_bytes: int
    activation_bytes: int

    @property
    def extents(self) -> str:
        """The extents of the value as text, with the patch of its maps."""
        return extents(self.sheet, self.patch)


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole plan; weights as published (without decoders), parameters with them.

    `batch_bytes`: activations, their gradients and images of a batch, in one process that trains a replica;
    `training_bytes`: all memory of that process.
    """

    encoding_weights: int
    parameters: int
    multiply_adds: int
    parameter_bytes: int
    state_bytes: int
    activation_bytes: int
    batch_bytes: int
    training_bytes: int
    halo: int
    halo_ratio: float


def totals(graph: Graph, partition: Partition) -> Totals:
    """Return the sums over one replica."""
    tiles = tile_costs(graph, partition)
    halo, bound = sum(tile.halo for tile in tiles), sum(tile.halo_bound for tile in tiles)
    return Totals(
        encoding_weights(graph),
        sum(parameter.size for parameter in graph.parameters),
        sum(layer.op.multiply_adds() for layer in graph.layers),
        *memory_of_one(graph),
        halo,
        halo / bound if bound else 1.0,
    )


class Memory(NamedTuple):
    """Bytes of one process that trains a whole replica, as in `Totals`."""

    parameter_bytes: int
    state_bytes: int
    activation_bytes: int
    batch_bytes: int
    training_bytes: int


def memory_of_one(graph: Graph) -> Memory:
    """Return the memory of one process that trains a whole replica."""
    parameter_bytes = sum(parameter.size for parameter in graph.parameters) * graph.training.value_bytes
    state_bytes = _state_bytes(graph, graph.parameters)
    activation_bytes = sum(_activation_bytes(graph, layer) for layer in graph.layers)
    compared = sum(_compared_bytes(graph, objective) for objective in graph.objectives)
    batch_bytes = PASSES * (activation_bytes + compared) + BATCHES * _activation_bytes(graph, graph.input)
    training_bytes = 2 * parameter_bytes + _sums(graph, parameter_bytes) + state_bytes + batch_bytes + PROCESS
    return Memory(parameter_bytes, state_bytes, activation_bytes, batch_bytes, training_bytes)


def layer_cost(graph: Graph, layer: Layer) -> LayerCost:
    """Return the cost of one layer."""
    weights = sum(parameter.size for parameter in layer.parameters)
    return LayerCost(
        layer.path,
        layer.op.kind,
        layer.sheet,
        layer.patch,
        layer.op.field_size,
        receptive_field(graph, layer.path),
        weights,
        layer.op.multiply_adds(),
        weights * graph.training.value_bytes,
        _state_bytes(graph, layer.parameters),
        _activation_bytes(graph, layer),
    )


def _activation_bytes(graph: Graph, layer: Layer) -> int:
    """Return the bytes of a layer's values for a batch."""
    return layer.sheet.values * graph.training.value_bytes * graph.training.batch_rows


def _compared_bytes(graph: Graph, objective: Objective) -> int:
    """Return the bytes of what an objective makes of a batch, where these are many."""
    return objective.term.intermediate(graph.training.batch_rows) * graph.training.value_bytes


def _state_bytes(graph: Graph, parameters: Iterable[Parameter]) -> int:
    """Return the bytes of optimiser state: none of what is frozen."""
    moving = sum(parameter.size for parameter in parameters if not graph.is_frozen(parameter.name))
    return moving * graph.training.value_bytes * graph.training.update.slots


@dataclass(frozen=True, slots=True)
class TileCost:
    """One tile of one replica: bytes in memory, and bytes that it exchanges in a step.

    `halo`: values of halos and their gradients; `dense`: partial sums of dense layers and normalisations, and what tiles
    tell each other of their units; `reduction`: broadcast weights and their gradients. These count what it receives, and
    the gradients that it sends back for it; `exchanged` is all that it sends to other tiles and receives from them.
    `shards`: bytes of parameters in each of its shards; `server`: what servers hold of all of them. `traffic`: what it
    pushes to its servers and fetches from them; `messages`: how many it sends to other tiles.
    """

    tile: int
    parameters: int
    gradients: int
    activations: int
    shards: tuple[int, ...]
    server: int
    halo: int
    halo_bound: float
    input: int
    dense: int
    reduction: int
    exchanged: int
    traffic: float
    messages: int

    @property
    def memory(self) -> int:
        """Bytes of the tile itself, its server apart."""
        return self.parameters + self.gradients + self.activations

    @property
    def servers(self) -> tuple[int, ...]:
        """Bytes that the server of each of its shards holds: state is shared out as parameters are."""
        owned = sum(self.shards)
        return tuple(self.server * shard // owned if owned else 0 for shard in self.shards)

    @property
    def largest_server(self) -> int:
        """Bytes that the server of its largest shard holds."""
        return max(self.servers)

    @property
    def halo_ratio(self) -> float:
        """Halo bytes over the fewest possible; 1 where no halo is needed."""
        return self.halo / self.halo_bound if self.halo_bound else 1.0


@kept_with_partition
def tile_costs(graph: Graph, partition: Partition) -> tuple[TileCost, ...]:
    """Return the cost of each tile, at the file's batch."""
    bytes_of = _tile_bytes(graph, partition)
    messages = message_counts(graph, partition)
    return tuple(
        _tile_cost(graph, partition, tile, bytes_of[tile], messages[tile]) for tile in range(partition.count)
    )


def tile_work(graph: Graph, partition: Partition) -> tuple[int, ...]:
    """Return the multiply-adds of each tile for an image, recomputed halos included."""
    programmes = (schedule(graph, partition, tile) for tile in range(partition.count))
    return tuple(
        sum(share.op.multiply_adds() for phase in programme.phases for share in phase.shares)
        for programme in programmes
    )


@dataclass
class _TileBytes:
    """What a tile exchanges with others in a step, in bytes; `weights`: those that it receives for a batch."""

    halo: int = 0
    dense: int = 0
    weights: int = 0
    exchanged: int = 0


def _tile_bytes(graph: Graph, partition: Partition) -> list[_TileBytes]:
    size_of, cut_graph = graph.training.value_bytes, dealt(graph, partition.tiles)
    tiles = [_TileBytes() for _ in range(partition.count)]
    for message in all_messages(graph, partition):
        size = message.values * cut_graph.value_bytes(message.layer) * graph.training.accumulate
        reader = tiles[message.sender if message.kind == "backward" else message.receiver]
        if message.layer in cut_graph.lines:
            reader.dense += size
        else:
            reader.halo += size
        tiles[message.sender].exchanged += size
        tiles[message.receiver].exchanged += size
    for weights in weight_messages(graph, partition):
        tiles[weights.receiver].weights += weights.values * size_of
        both_ways = 2 * weights.values * size_of * graph.training.accumulate
        tiles[weights.sender].exchanged += both_ways
        tiles[weights.receiver].exchanged += both_ways
    return tiles


def _tile_cost(graph: Graph, partition: Partition, tile: int, moved: _TileBytes, messages: int) -> TileCost:
    training, size_of = graph.training, graph.training.value_bytes
    per_step = size_of * training.step_rows
    values = owned_parameters(graph, partition, tile)
    owned = sum(values.values()) * size_of
    moving = sum(size for name, size in values.items() if not graph.is_frozen(name)) * size_of
    received, cut_graph = moved.weights, dealt(graph, partition.tiles)
    activations = sum(
        max(partition.piece(tile, layer.path).held.area, made(cut_graph, partition, layer, tile).area)
        * layer.sheet.maps
        * cut_graph.value_bytes(layer.path)
        for layer in cut_graph.layers
    )
    compared = sum(
        _compared_bytes(graph, objective)
        for objective in cut_graph.objectives
        if partition.piece(tile, cut_graph.layer(objective.reads[0]).path).owned.area
    )
    return TileCost(
        tile=tile,
        parameters=owned + received,
        gradients=owned + received + _sums(graph, owned),
        activations=activations + compared,
        shards=tuple(values * size_of for values in values_in_shards(graph, partition, tile)),
        server=owned + moving * training.update.slots,
        halo=moved.halo,
        halo_bound=lower_bound(graph, partition, tile) * per_step,
        input=input_values(graph, partition, tile) * per_step,
        dense=moved.dense,
        reduction=2 * received * training.accumulate,
        exchanged=moved.exchanged,
        traffic=owned / training.fetch + owned / training.push,
        messages=messages * training.accumulate + sums_sent(graph, tile, partition.count),
    )


def _sums(graph: Graph, gradients: int) -> int:
    """Return the bytes of the sum of gradients that stands beside those of a batch."""
    return gradients if graph.training.accumulate > 1 else 0


def encoding_weights(graph: Graph) -> int:
    """Return the number of weights without decoders, as published papers count them."""
    return sum(p.size for layer in graph.visible if not layer.op.decodes for p in layer.parameters)
