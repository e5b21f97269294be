"""Cost of a plan: arithmetic, memory and traffic, by layer and by tile."""

from __future__ import annotations

from dataclasses import dataclass

from lnet.compiler.core.layer import Layer
from lnet.compiler.core.shapes import Sheet, Size
from lnet.compiler.graph.graph import Graph
from lnet.compiler.graph.receptive_field import receptive_field

from .partition import (
    BYTES,
    Partition,
    input_values,
    lower_bound,
)
from .schedule import message_counts
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
    field: Size | None
    receptive_field: Size
    weights: int
    multiply_adds: int
    parameter_bytes: int
    state_bytes: int
    activation_bytes: int


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
    layers = [layer_cost(graph, layer) for layer in graph.layers]
    tiles = tile_costs(graph, partition)
    parameters = sum(parameter.size for parameter in graph.parameters)
    halo, bound = sum(tile.halo for tile in tiles), sum(tile.halo_bound for tile in tiles)
    parameter_bytes, state_bytes = (
        parameters * BYTES,
        parameters * BYTES * graph.training.update.slots,
    )
    activation_bytes = sum(layer.activation_bytes for layer in layers)
    images = layer_cost(graph, graph.input).activation_bytes
    batch_bytes = PASSES * activation_bytes + BATCHES * images
    return Totals(
        encoding_weights(graph),
        parameters,
        sum(layer.multiply_adds for layer in layers),
        parameter_bytes,
        state_bytes,
        activation_bytes,
        batch_bytes,
        2 * parameter_bytes + state_bytes + batch_bytes + PROCESS,
        halo,
        halo / bound if bound else 1.0,
    )


def layer_cost(graph: Graph, layer: Layer) -> LayerCost:
    """Return the cost of one layer."""
    weights = sum(parameter.size for parameter in layer.parameters)
    return LayerCost(
        layer.path,
        layer.op.kind,
        layer.sheet,
        layer.op.field_size,
        receptive_field(graph, layer.path),
        weights,
        layer.op.multiply_adds(),
        weights * BYTES,
        weights * BYTES * graph.training.update.slots,
        layer.sheet.values * BYTES * graph.training.batch,
    )


@dataclass(frozen=True, slots=True)
class TileCost:
    """One tile of one replica: bytes in memory, and bytes that it exchanges in a step.

    `halo`: values of halos and their gradients; `reduction`: broadcast weights and their gradients; `traffic`: what it
    pushes to its parameter server and fetches from it; `messages`: how many it sends to other tiles.
    """

    tile: int
    parameters: int
    gradients: int
    activations: int
    server: int
    halo: int
    halo_bound: float
    input: int
    reduction: int
    traffic: float
    messages: int

    @property
    def memory(self) -> int:
        """Bytes of the tile itself, its server apart."""
        return self.parameters + self.gradients + self.activations

    @property
    def halo_ratio(self) -> float:
        """Halo bytes over the fewest possible; 1 where no halo is needed."""
        return self.halo / self.halo_bound if self.halo_bound else 1.0


def tile_costs(graph: Graph, partition: Partition) -> tuple[TileCost, ...]:
    """Return the cost of each tile, at the file's batch."""
    received = [0] * partition.count
    for message in weight_messages(graph, partition):
        received[message.receiver] += message.values * BYTES
    messages = message_counts(graph, partition)
    return tuple(
        _tile_cost(graph, partition, tile, received[tile], messages[tile]) for tile in range(partition.count)
    )


def _tile_cost(graph: Graph, partition: Partition, tile: int, received: int, messages: int) -> TileCost:
    training = graph.training
    per_batch = BYTES * training.batch
    owned = sum(owned_parameters(graph, partition, tile).values()) * BYTES
    activations = sum(p.held.area * graph.layer(p.layer).sheet.maps for p in partition.pieces[tile])
    return TileCost(
        tile=tile,
        parameters=owned + received,
        gradients=owned + received,
        activations=activations * per_batch,
        server=owned * (1 + training.update.slots),
        halo=partition.halo_by_tile[tile] * per_batch,
        halo_bound=lower_bound(graph, partition, tile) * per_batch,
        input=input_values(graph, partition, tile) * per_batch,
        reduction=2 * received,
        traffic=owned / training.fetch + owned / training.push,
        messages=messages,
    )


def encoding_weights(graph: Graph) -> int:
    """Return the number of weights without decoders, as published papers count them."""
    return sum(p.size for layer in graph.visible if not layer.op.scatters for p in layer.parameters)
