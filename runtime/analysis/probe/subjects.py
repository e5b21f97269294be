"""Subjects of a probe: anything that gives a response of each of its units to an image.

A network's units are its neurons; a cosine with a template is a unit, and so is an image's mean (baselines.py): every
row of the table goes through the same passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Sheet
from lnet.compiler.graph.graph import Graph
from lnet.compiler.settings import Normalization
from lnet.runtime.analysis.neurons import find_layers, leading_to
from lnet.runtime.data.pixels import normalize
from lnet.runtime.engine.evaluate import batch_last, layer_values
from lnet.runtime.engine.network import Network, initial_params, parse_neuron
from lnet.runtime.store.run import open_run

Images = NDArray[np.float32]
"""`[n, rows, columns, channels]` in 0..1."""
Responses = Mapping[str, jax.Array]
"""By the name of a group of units: `[unit, image]`."""


class Subject(Protocol):
    """A subject: responses to images, in groups of units."""

    @property
    def sheet(self) -> Sheet:
        """The extents of its input images."""

    @property
    def dtype(self) -> str:
        """The type of its responses, in which statistics of them are computed."""

    def respond(self, images: Images) -> Responses:
        """Return the response of every unit."""

    def name(self, group: str, unit: int) -> str:
        """Return the displayed name of a unit."""


@dataclass(frozen=True)
class Weights:
    """The weights of a network: a run's at a step, or initial ones from a seed."""

    directory: Path
    step: int
    seed: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Serialize the run's path; the other process must see it."""
        return Weights, (self.directory.resolve(), self.step, self.seed)

    @cached_property
    def network(self) -> Network:
        run = open_run(self.directory)
        if self.seed is None:
            return run.network(self.step)
        return Network(run.plan, initial_params(run.plan.graph, self.seed))


@dataclass(frozen=True)
class Neurons:
    """The neurons of some layers of a network: a unit is a position and a map, in the order row, column, map."""

    weights: Weights
    layers: tuple[str, ...]

    @property
    def graph(self) -> Graph:
        return self.weights.network.graph

    @property
    def sheet(self) -> Sheet:
        return self.graph.input.sheet

    @property
    def dtype(self) -> str:
        return self.graph.training.dtype

    def respond(self, images: Images) -> Responses:
        graph = self.graph
        normal = jnp.asarray(normalize(images.astype(self.dtype, copy=False), normalization(graph)))
        found = _layer_responses(graph, self.layers, self.weights.network.params.arrays, batch_last(normal))
        return {layer: found[layer] for layer in self.layers}  # jit sorts keys

    def name(self, group: str, unit: int) -> str:
        sheet = self.graph.layer(group).sheet
        row, column, map_ = np.unravel_index(unit, (sheet.height, sheet.width, sheet.maps))
        return f"{group}[{row}, {column}, {map_}]"

    def unit(self, name: str) -> int:
        """Return the number of a unit by its displayed name."""
        layer, *place = parse_neuron(self.graph, name)
        sheet = self.graph.layer(layer).sheet
        return int(np.ravel_multi_index(place, (sheet.height, sheet.width, sheet.maps)))


@partial(jax.jit, static_argnums=(0, 1))
def _layer_responses(graph: Graph, layers: tuple[str, ...], params: Any, images: jax.Array) -> Responses:
    values = layer_values(graph, params, images, leading_to(graph, layers))
    return {path: values[path].reshape(-1, images.shape[-1]) for path in layers}


def normalization(graph: Graph) -> Normalization:
    """Return the normalisation of a network's images; the default `image` for one trained on an array."""
    data = graph.training.data
    return "image" if data is None else data.normalize


def probed_layers(graph: Graph, named: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the layers named, or the last of each stage with weights; raises `LnetError` for one that is not there."""
    weighted = [layer.path for layer in graph.layers if layer.parameters]
    stages = [last for stage, last in graph.stages if any(path.startswith(f"{stage}.") for path in weighted)]
    paths = find_layers(graph, named or stages or [graph.output.path])
    return tuple(layer.path for layer in graph.layers if layer.path in paths)
