"""The values of a graph's layers and the terms of its loss, as pure functions of parameters and images.

With `gradients = stage` an objective trains only what stands in its own stage instance, and everything else is
a constant to it. So a layer is evaluated once per *view*: a view is the block of some objective, and gradients
flow only inside it. Values are the same in every view; as long as objectives do not stand inside one another's
instances, every layer has one view and nothing is computed twice.

        V1.filter ──── V1.norm ──── V2.filter ──── V2.norm
            └── V1.learn    ╵           └── V2.learn
          view V1           ╵         view V2
                    stop_gradient
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from lnet.compiler.graph import Graph
from lnet.compiler.layer import Layer
from lnet.compiler.objectives import Objective

from .kernels.table import LAYER_KERNELS, TERM_KERNELS

Params = Mapping[str, jax.Array]

EVERYTHING = "*"
"""The view of `gradients = joint`: everything is trained."""
NOTHING = "-"
"""The view of layers that no objective trains."""


def layer_values(
    graph: Graph, params: Params, images: jax.Array, layers: tuple[Layer, ...] | None = None
) -> dict[str, jax.Array]:
    """Return the values of layers, in their order: `[row, column, map, batch]`.

    Of those that the file names unless `layers` are given, which must hold all that they read. `images` is
    `[row, column, channel, batch]`, normalised.
    """
    evaluation = _Evaluation(graph, params, images, (EVERYTHING,))
    layers = graph.visible if layers is None else layers
    for layer in layers:
        evaluation.layer(layer)
    return {layer.path: evaluation.values[layer.path, EVERYTHING] for layer in layers}


def loss_terms(
    graph: Graph, params: Params, images: jax.Array, labels: jax.Array | None = None
) -> dict[str, jax.Array]:
    """Return every term of the loss, times its weight: a mean over the batch each.

    The gradient of their sum is that of `train.gradients`: what an objective must not train is a constant to it.
    """
    evaluation = _Evaluation(graph, params, images, _views(graph))
    for layer in graph.layers:
        evaluation.layer(layer)
    return {objective.path: evaluation.term(objective, labels) for objective in graph.objectives}


def _views(graph: Graph) -> tuple[str, ...]:
    if graph.training.gradients == "joint":
        return (EVERYTHING,)
    return tuple(dict.fromkeys(graph.block(objective.part_of) for objective in graph.objectives))


def _inside(block: str, view: str) -> bool:
    """Whether a block is trained in a view; the network's own block does not count the stages in it."""
    if view in (EVERYTHING, NOTHING):
        return view == EVERYTHING
    return block == view or (view != "" and block.startswith(f"{view}."))


@dataclass
class _Evaluation:
    """Values of layers by path and view, filled in the graph's order."""

    graph: Graph
    params: Params
    images: jax.Array
    views: tuple[str, ...]
    values: dict[tuple[str, str], jax.Array] = field(default_factory=dict)
    constants: dict[str, jax.Array] = field(default_factory=dict)

    def layer(self, layer: Layer) -> None:
        block = self.graph.block(layer.path)
        views = [view for view in self.views if _inside(block, view)] or [NOTHING]
        for view in views:
            self.values[layer.path, view] = self._value(layer, view)
        self.constants[layer.path] = self.values[layer.path, views[0]]

    def term(self, objective: Objective, labels: jax.Array | None) -> jax.Array:
        view = next(v for v in self.views if v in (EVERYTHING, self.graph.block(objective.part_of)))
        operands = [self._operand(path, view) for path in objective.reads]
        params = self._parameters(self.graph.layer(objective.reads[0]), view)
        return objective.weight * TERM_KERNELS[objective.term.kind](operands, params, labels)

    def _value(self, layer: Layer, view: str) -> jax.Array:
        kernel = LAYER_KERNELS[layer.op.kind]
        operands = [self._operand(path, view) for path in layer.reads] or [self.images]
        precision = self.graph.training.precision
        return kernel(layer.op, operands, self._parameters(layer, view), precision)

    def _operand(self, path: str, view: str) -> jax.Array:
        path = self.graph.layer(path).path
        if (path, view) in self.values:
            return self.values[path, view]
        return jax.lax.stop_gradient(self.constants[path])

    def _parameters(self, layer: Layer, view: str) -> dict[str, jax.Array]:
        """Return a layer's parameters by role; constants where the view does not train their owner."""
        return {
            p.role: self.params[p.name]
            if _inside(self.graph.block(p.name), view)
            else jax.lax.stop_gradient(self.params[p.name])
            for p in layer.parameters
        }


def total_loss(
    graph: Graph, params: Params, images: jax.Array, labels: jax.Array | None = None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the loss and its terms."""
    terms = loss_terms(graph, params, images, labels)
    return sum(terms.values(), start=jnp.zeros((), images.dtype)), terms


def batch_last(images: jax.Array) -> jax.Array:
    """`[batch, row, column, channel]` to `[row, column, channel, batch]`, the layout of every value inside."""
    return jnp.moveaxis(images, 0, -1)


def batch_first(value: jax.Array) -> jax.Array:
    """`[row, column, map, batch]` to `[batch, row, column, map]`, the layout that users see."""
    return jnp.moveaxis(value, -1, 0)
