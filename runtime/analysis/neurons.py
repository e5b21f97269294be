"""Single neurons: their responses, computed from the layers they depend on, and their receptive fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.layer import Layer
from lnet.compiler.core.shapes import Interval, Region
from lnet.compiler.files import plain
from lnet.compiler.graph.graph import Graph
from lnet.compiler.graph.receptive_field import receptive_region
from lnet.dsl.diagnostics import refused
from lnet.runtime.engine.evaluate import batch_first, batch_last, layer_values
from lnet.runtime.engine.network import Network, no_layer, parse_neuron
from lnet.runtime.kernels.ops import layer_kernel

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Neuron:
    """One neuron: its layer's path and its place in the sheet, counted from 0."""

    layer: str
    row: int
    column: int
    map: int

    def __str__(self) -> str:
        return f"{self.layer}[{self.row}, {self.column}, {self.map}]"

    @property
    def file_name(self) -> str:
        """A name for files that needs no quotes in a shell."""
        return f"{plain(self.layer)}-{self.row}-{self.column}-{self.map}"


def find_neurons(graph: Graph, texts: Sequence[str]) -> tuple[Neuron, ...]:
    """Return the neurons written `V3.norm[row, column, map]`; raises `LnetError`."""
    return tuple(Neuron(*parse_neuron(graph, text)) for text in texts)


def respond(network: Network, neurons: tuple[Neuron, ...], images: Array) -> Array:
    """Return the responses `[neuron, image]` to images `[image, row, column, channel]`.

    Raises `LnetError` for those that are not finite.
    """
    with network.computing():
        found = np.asarray(
            responses(network.graph, neurons, network.params.arrays, jnp.asarray(images, float))
        )
    for neuron, values in zip(neurons, found, strict=True):
        check_finite(str(neuron), values)
    return found


def check_finite(of: str, *responses: Array) -> None:
    """Raise `LnetError` for responses of a layer or a neuron that are not finite: nothing can be said about them."""
    if not all(np.isfinite(values).all() for values in responses):
        hint = "the network diverged: train it again with a smaller rate"
        raise refused("E773", f"'{of}' has responses that are not finite", hint=hint)


@partial(jax.jit, static_argnums=(0, 1))
def responses(
    graph: Graph, neurons: tuple[Neuron, ...], params: Mapping[str, jax.Array], images: jax.Array
) -> jax.Array:
    """Return the responses `[neuron, image]`; only the layers that lead to the neurons are computed."""
    layers = leading_to(graph, [neuron.layer for neuron in neurons])
    values = layer_values(graph, params, batch_last(images), layers)
    return jnp.stack([values[n.layer][n.row, n.column, n.map] for n in neurons])


def values_of(network: Network, path: str, images: Array) -> Array:
    """Return the values `[image, row, column, map]` of one layer, computing only the layers it depends on.

    Raises `LnetError` for those that are not finite.
    """
    return layers_of(network, (path,), images)[path]


def layers_of(network: Network, paths: tuple[str, ...], images: Array) -> dict[str, Array]:
    """Return the values of several layers, as `values_of` does of one."""
    with network.computing():
        found = _values(network.graph, paths, network.params.arrays, jnp.asarray(images, float))
        values = {path: np.asarray(found[path]) for path in paths}
    for path, value in values.items():
        check_finite(path, value)
    return values


@partial(jax.jit, static_argnums=(0, 1))
def _values(
    graph: Graph, paths: tuple[str, ...], params: Mapping[str, jax.Array], images: jax.Array
) -> dict[str, jax.Array]:
    found = layer_values(graph, params, batch_last(images), leading_to(graph, paths))
    return {path: batch_first(found[path]) for path in paths}


@dataclass(frozen=True)
class Cost:
    """The values `[image, row, column, map]` of a layer, and their transmission cost, or None of one without weights."""

    values: Array
    transmission: Array | None


def cost_of(network: Network, path: str, images: Array) -> Cost:
    """Return the values of one layer and the cost of what it reads: for each neuron the sum of |weight x input|.

    Biases and activation do not count (Lu et al. 2025: |weights| applied to |inputs|). Raises `LnetError` for values that
    are not finite.
    """
    with network.computing():
        values, transmission = _cost(network.graph, path, network.params.arrays, jnp.asarray(images, float))
    check_finite(path, np.asarray(values))
    return Cost(np.asarray(values), None if transmission is None else np.asarray(transmission))


@partial(jax.jit, static_argnums=(0, 1))
def _cost(
    graph: Graph, path: str, params: Mapping[str, jax.Array], images: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
    layer = graph.layer(path)
    values = layer_values(graph, params, batch_last(images), leading_to(graph, [path]))
    linear = layer.op.linear
    if linear is None:
        return batch_first(values[path]), None
    weights = {p.role: jnp.abs(params[p.name]) for p in layer.parameters if p.role == "weight"}
    inputs = [jnp.abs(values[graph.layer(read).path]) for read in layer.reads]
    sums = layer_kernel(linear)(linear, inputs, weights, graph.training.precision)
    return batch_first(values[path]), batch_first(sums)


def find_layer(graph: Graph, name: str) -> str:
    """Return the path of a layer, or of the last one of a stage; raises `LnetError`."""
    if name not in graph:
        raise no_layer(graph, name)
    if graph.layer(name).op.is_target:
        raise refused(
            "E720", f"'{name}' is a target: its values come with the images, and no image has a response"
        )
    return graph.layer(name).path


def find_layers(graph: Graph, names: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of layers, each once; a family stands for all its items. Raises `LnetError`."""
    names = (names,) if isinstance(names, str) else names
    items = (item for name in names for item in graph.items(name) or (name,))
    return tuple(dict.fromkeys(find_layer(graph, item) for item in items))


def leading_to(graph: Graph, paths: Sequence[str]) -> tuple[Layer, ...]:
    """Return layers and all that they read, in the graph's order."""
    needed = {graph.layer(path).path for path in paths}
    for layer in reversed(graph.layers):
        if layer.path in needed:
            needed |= {graph.layer(read).path for read in layer.reads}
    return tuple(layer for layer in graph.layers if layer.path in needed)


def seen_by(graph: Graph, neuron: Neuron) -> Region:
    """Return the pixels that a neuron sees."""
    place = Region(
        Interval(neuron.row, neuron.row + 1),
        Interval(neuron.column, neuron.column + 1),
    )
    return receptive_region(graph, neuron.layer, place)
