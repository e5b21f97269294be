"""What a plan costs: arithmetic, memory and bytes, by layer and by tile."""

from __future__ import annotations

from dataclasses import dataclass

from .graph import Graph
from .layer import Layer
from .partition import BYTES, Partition, input_values, lower_bound, owned_parameters, position_weights
from .receptive_field import receptive_field
from .settings import Update
from .shapes import Sheet, Size


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


def state_slots(update: Update) -> int:
    """Return how many arrays of a parameter's shape an update rule keeps."""
    return {"adagrad": 1, "adam": 2}.get(update.rule, 1 if update.momentum else 0)


def layer_cost(graph: Graph, layer: Layer) -> LayerCost:
    """Return what one layer costs."""
    window = getattr(layer.op, "window", None)
    weights = sum(parameter.size for parameter in layer.parameters)
    return LayerCost(
        layer.path,
        layer.op.kind,
        layer.sheet,
        window.field if window is not None else getattr(layer.op, "field", None),
        receptive_field(graph, layer.path),
        weights,
        layer.op.multiply_adds(),
        weights * BYTES,
        weights * BYTES * state_slots(graph.training.update),
        layer.sheet.values * BYTES * graph.training.batch,
    )


@dataclass(frozen=True, slots=True)
class TileCost:
    """One tile of one replica: bytes in memory, and bytes that it gets in a step."""

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

    @property
    def memory(self) -> int:
        """Bytes of the tile itself, its server apart."""
        return self.parameters + self.gradients + self.activations

    @property
    def halo_ratio(self) -> float:
        """Halo bytes over the fewest possible; 1 where no halo is needed."""
        return self.halo / self.halo_bound if self.halo_bound else 1.0


def tile_costs(graph: Graph, partition: Partition) -> tuple[TileCost, ...]:
    """Return what each tile costs, at the file's batch."""
    received = [0] * partition.count
    for message in partition.messages:
        received[message.receiver] += message.values
    return tuple(_tile_cost(graph, partition, tile, received[tile]) for tile in range(partition.count))


def _tile_cost(graph: Graph, partition: Partition, tile: int, received: int) -> TileCost:
    training = graph.training
    per_batch = BYTES * training.batch
    owned = sum(owned_parameters(graph, partition, tile).values()) * BYTES
    shared = shared_values(graph) * BYTES
    held = owned + (shared if tile else 0)
    slots = state_slots(training.update)
    activations = sum(p.held.area * graph.layer(p.layer).sheet.maps for p in partition.pieces[tile])
    return TileCost(
        tile=tile,
        parameters=held,
        gradients=held,
        activations=activations * per_batch,
        server=owned * (1 + slots),
        halo=received * per_batch,
        halo_bound=lower_bound(graph, partition, tile) * per_batch,
        input=input_values(graph, partition, tile) * per_batch,
        reduction=2 * shared if partition.count > 1 and shared else 0,
        traffic=owned / training.fetch + owned / training.push,
    )


def shared_values(graph: Graph) -> int:
    """Return how many values of parameters are shared by positions, so that every tile needs them all."""
    names = {
        p.name: p.size for layer in graph.layers if not position_weights(layer) for p in layer.parameters
    }
    return sum(names.values())


def encoding_weights(graph: Graph) -> int:
    """Return the weights of all layers but decoders: the published way of counting."""
    return sum(p.size for layer in graph.visible if layer.op.kind != "decode" for p in layer.parameters)
