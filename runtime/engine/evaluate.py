"""The values of layers and the terms of the loss, as pure functions of parameters and images.

Gradients flow only inside a view (compiler/graph/views.py), so a layer is evaluated once per view, and what comes from
outside is a constant. An `Evaluation` is filled layer by layer: with whole layers here, with a tile's shares in
shard.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.stages import Compiled

from lnet.compiler.core.layer import Layer, Op
from lnet.compiler.core.shapes import Place, Region, Rows, Strip
from lnet.compiler.cut.schedule import Share, TermShare, whole_share, whole_term
from lnet.compiler.cut.weights import OWN
from lnet.compiler.graph.graph import Graph
from lnet.compiler.graph.views import EVERYTHING, NOTHING, inside, view_of, views_of
from lnet.compiler.objectives import Objective
from lnet.runtime.kernels.classes import class_ranks
from lnet.runtime.kernels.mode import EVALUATION, Mode
from lnet.runtime.kernels.objectives import term_kernel
from lnet.runtime.kernels.ops import computed, observed
from lnet.runtime.kernels.smooth import Weights

Params = Mapping[str, jax.Array]
Received = dict[tuple[str, int], jax.Array]
"""Parameters, or strips of them, that were received from other tiles, by name and owner."""
Targets = Mapping[str, jax.Array]
"""The values of targets, `[row, column, map, batch]`, by path."""
Key = tuple[str, str]
"""A layer's path and a view."""
Programs = dict[Hashable, Compiled]
"""Programs by op, and shapes of what it reads, for separate layers."""
Done = int | jax.Array
"""How many steps a replica has done."""
TOPS = (1, 5)
"""The `k` of top-k accuracies."""


def layer_values(
    graph: Graph,
    params: Params,
    images: jax.Array,
    layers: tuple[Layer, ...] | None = None,
    samples: jax.Array | None = None,
) -> dict[str, jax.Array]:
    """Return the values of layers, in their order: `[row, column, map, batch]`.

    By default of the layers that the file names, without targets; `layers` must include all operands. `images` is
    `[row, column, channel, batch]`, normalised; `samples` as in `total_loss`.
    """
    evaluation = Evaluation(graph, params, samples=samples)
    layers = graph.visible if layers is None else layers
    for layer in layers:
        evaluation.compute(whole_share(layer), (EVERYTHING,), images)
    return {layer.path: evaluation.values[layer.path, EVERYTHING] for layer in layers}


def separate_values(
    graph: Graph, params: Params, images: jax.Array, programs: Programs
) -> dict[str, jax.Array]:
    """Return the values of all layers, as `layer_values` does, from a small program for all layers that are alike.

    Those that are not among `programs` are compiled and put there.
    """
    values: dict[str, jax.Array] = {}
    for layer in graph.computed:
        operands = [values[graph.layer(path).path] for path in layer.reads] or [images]
        own = {parameter.role: params[parameter.name] for parameter in layer.parameters}
        key = layer.op, tuple(array.shape for array in (*operands, *own.values()))
        if key not in programs:
            programs[key] = _program(layer.op, operands, own, graph.training.precision)
        values[layer.path] = programs[key](operands, own)
    return values


def _program(op: Op, operands: list[jax.Array], params: Params, precision: str) -> Compiled:
    """Return a program that computes an op; it keeps nothing of what it was compiled from, as jax.jit's own cache does."""

    def value(operands: list[jax.Array], params: Params) -> jax.Array:
        return computed(op, operands, params, precision, EVALUATION)

    return jax.jit(value).lower(operands, params).compile()


def evaluated(
    graph: Graph,
    params: Params,
    images: jax.Array,
    targets: Targets | None = None,
    samples: jax.Array | None = None,
) -> Evaluation:
    """Return all layers evaluated in all views; `targets` are the values of the targets, `samples` as in `total_loss`."""
    evaluation = Evaluation(graph, params, values=in_all_views(graph, targets or {}), samples=samples)
    for layer in graph.computed:
        evaluation.compute(whole_share(layer), values_in(graph, layer), images)
    return evaluation


def all_terms(evaluation: Evaluation, labels: jax.Array | None) -> dict[str, jax.Array]:
    """Return every term of the loss, times its weight: a mean over the batch each.

    The gradient of their sum follows `train.gradients`: layers that an objective must not train are constants to it.
    """
    graph = evaluation.graph
    return {
        objective.path: evaluation.term(objective, whole_term(graph, objective), labels)
        for objective in graph.objectives
    }


def in_all_views(graph: Graph, values: Mapping[str, jax.Array]) -> dict[Key, jax.Array]:
    """Return values by layer and view, the same in every view."""
    return {(path, view): v for path, v in values.items() for view in values_in(graph, graph.layer(path))}


def values_in(graph: Graph, layer: Layer) -> tuple[str, ...]:
    """Return the views in which a layer is evaluated: only `NOTHING`, outside of all views, if no objective trains it."""
    return views_of(graph, layer) or (NOTHING,)


@dataclass
class Evaluation:
    """Values by layer and view, filled in the graph's order.

    `received`: parameters, or strips of them, that other tiles own, by name and tile. `samples`: the numbers of the samples
    in a training step (`sample_numbers`), None in evaluation. `done`: the steps of the replica before. `observed`: what the
    step adds to running values, by their names, or a tile's part of it.
    """

    graph: Graph
    params: Params
    received: Received = field(default_factory=dict)
    values: dict[Key, jax.Array] = field(default_factory=dict)
    samples: jax.Array | None = None
    done: Done = 0
    observed: dict[str, jax.Array] = field(default_factory=dict)

    def compute(self, share: Share, in_views: Iterable[str], images: jax.Array | None = None) -> None:
        """Compute one layer, or a share of it; `images` are the value of the input."""
        layer, training = self.graph.layer(share.layer), self.graph.training
        mode = Mode(training.seed, layer.path, self.samples, self.graph.is_held(f"{layer.path}."))
        for view in in_views:
            operands = [self._read(share, path, region, view) for path, region in share.reads]
            params = self._parameters(layer, share, view)
            values = operands if operands or images is None else [images]
            self.values[layer.path, view] = computed(share.op, values, params, training.precision, mode)
        if mode.by_batch:
            owner, value = layer.path.partition(" ")[0], self.values[layer.path, view]
            self.observed |= {
                f"{owner}.{role}": found for role, found in observed(share.op, values, value).items()
            }

    def term(self, objective: Objective, share: TermShare, labels: jax.Array | None) -> jax.Array:
        """Return one term, or a tile's share of it; nothing is computed of one that weighs nothing."""
        if not objective.counts:
            return jnp.zeros(())
        view = view_of(self.graph, objective)
        kernel = partial(term_kernel(objective.term), objective.term, share)
        if objective.term.reads_weights:
            return self._weight(objective) * kernel([], self._weights(share, view), labels)
        operands = [self.held(path, view) for path in objective.reads]
        learning = [number for number, _ in share.compared]
        constant = [
            jax.lax.stop_gradient(value) if number in learning else value
            for number, value in enumerate(operands)
        ]
        total = kernel([cut(v, r) for v, r in zip(constant, share.owned, strict=True)], {}, labels)
        for number, regions in share.compared:
            seen = [
                cut(value if i == number else jax.lax.stop_gradient(value), region)
                for i, (value, region) in enumerate(zip(operands, regions, strict=True))
            ]
            error = kernel(seen, {}, labels)
            total = total + (error - jax.lax.stop_gradient(error))  # adds a gradient, but no value
        return self._weight(objective) * total

    def accuracies(
        self, objective: Objective, share: TermShare, labels: jax.Array | None
    ) -> dict[str, jax.Array]:
        """Return how often labels are ranked first, and among the first five, or a tile's share of it.

        Empty without labels.
        """
        if not objective.term.needs_labels or labels is None:
            return {}
        view = view_of(self.graph, objective)
        scores, *standings = (
            cut(self.held(path, view), region)
            for path, region in zip(objective.reads, share.owned, strict=True)
        )
        ranks = class_ranks(scores, labels, share.first, *standings)
        classes = self.graph.layer(objective.reads[0]).sheet.values
        tops = [top for top in TOPS if top == 1 or top < classes]
        return {f"{objective.path} top-{top}": jnp.mean(ranks < top, dtype=scores.dtype) for top in tops}

    def held(self, path: str, view: str) -> jax.Array:
        """Return a layer's value as readers see it: a constant to them where the view does not train it."""
        return self.computed(path, view)

    def computed(self, path: str, view: str) -> jax.Array:
        """Return the computed value of a layer."""
        layer = self.graph.layer(path)
        if (layer.path, view) in self.values:
            return self.values[layer.path, view]
        return jax.lax.stop_gradient(self.values[layer.path, values_in(self.graph, layer)[0]])

    def _read(self, share: Share, path: str, region: Region | None, view: str) -> jax.Array:
        read = self.computed if share.op.scatters else self.held
        return cut(read(path, view), region)

    def _parameters(self, layer: Layer, share: Share, view: str) -> dict[str, jax.Array]:
        """Return a layer's parameters by role; constants where the view does not train their owner."""
        params = {}
        for parameter in layer.parameters:
            value = self._trained(parameter.name, self.params[parameter.name], view)
            if (share.first.rows, share.first.columns) != (0, 0):
                value = jnp.roll(value, (-share.first.rows, -share.first.columns), (0, 1))
            params[parameter.role] = value
        return params

    def _weight(self, objective: Objective) -> float | jax.Array:
        """Return an objective's weight after the steps that are done."""
        change = objective.change
        if change is None:
            return objective.weight
        part = jnp.clip((self.done - change.start) / (change.stop - change.start), 0, 1)
        return objective.weight * ((1 - part) * change.first + part * change.last)

    def _weights(self, share: TermShare, view: str) -> Weights:
        """Return the parameters that a term reads, and the strips beyond them, by the names of a border's sides."""
        names = share.weights
        sides = {side: getattr(share.border, side) for side in ("right", "below", "corner")}
        return {"own": [self._trained(name, self.params[name], view) for name in names]} | {
            side: [self._trained(name, self.received[name, owner], view) for name in names]
            for side, owner in sides.items()
            if owner not in (None, OWN)
        }

    def _trained(self, name: str, value: jax.Array, view: str) -> jax.Array:
        trained = inside(self.graph.block(name), view) and not self.graph.is_frozen(name)
        return value if trained else jax.lax.stop_gradient(value)


def cut(value: jax.Array, place: Place | Strip) -> jax.Array:
    """Return the part of an array at a place (None: all)."""
    match place:
        case Strip():
            return cut(value, place.region)[..., place.maps.start : place.maps.stop : place.maps.step]
        case None:
            return value
        case Rows():
            return jnp.concatenate([value[:0], *(value[i.start : i.stop] for i in place.intervals)])
        case Region():
            return value[place.rows.start : place.rows.stop, place.columns.start : place.columns.stop]


def total_loss(
    graph: Graph,
    params: Params,
    images: jax.Array,
    labels: jax.Array | None = None,
    targets: Targets | None = None,
    samples: jax.Array | None = None,
    done: Done = 0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the loss, and its terms with the accuracies beside them.

    `samples`: the numbers of a training step's samples (`sample_numbers`); None: in evaluation. `done`: the steps of the
    replica before, by which weights of objectives change.
    """
    loss, (found, _) = observed_loss(graph, params, images, labels, targets, samples, done)
    return loss, found


def observed_loss(
    graph: Graph,
    params: Params,
    images: jax.Array,
    labels: jax.Array | None,
    targets: Targets | None,
    samples: jax.Array | None,
    done: Done = 0,
) -> tuple[jax.Array, tuple[dict[str, jax.Array], dict[str, jax.Array]]]:
    """Return the loss, its terms with the accuracies, and what the step adds to running values, by their names."""
    evaluation = evaluated(graph, params, images, targets, samples)
    evaluation.done = done
    terms = all_terms(evaluation, labels)
    found = dict(terms)
    for objective in graph.objectives:
        found |= evaluation.accuracies(objective, whole_term(graph, objective), labels)
    return sum(terms.values(), start=jnp.zeros((), images.dtype)), (found, evaluation.observed)


def batch_last(images: jax.Array) -> jax.Array:
    """`[batch, row, column, channel]` to `[row, column, channel, batch]`, the layout of every value inside.

    Call it outside of jitted programs: inside, XLA keeps the layout of the images in later operations, which is slower.
    """
    return jnp.moveaxis(images, 0, -1)


def as_targets(values: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Return targets `[batch, row, column, map]` as they are computed with; call it outside of jitted programs."""
    return {path: batch_last(jnp.asarray(value)) for path, value in values.items()}


def batch_first(value: jax.Array) -> jax.Array:
    """`[row, column, map, batch]` to `[batch, row, column, map]`, the layout that users see."""
    return jnp.moveaxis(value, -1, 0)
