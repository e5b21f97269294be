"""One phase of a tile's programme as a jitted function, with its gradient or, in evaluation, without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from lnet.compiler.core.layer import Layer
from lnet.compiler.core.shapes import Region
from lnet.compiler.cut.schedule import Held, Phase, Programme
from lnet.compiler.graph.graph import Graph

from .evaluate import Done, Evaluation, Received, cut, values_in

Part = tuple[int, str, str]
"""A tile, a layer's path and a view: what that tile computed of the layer; no view ("") for a constant from elsewhere."""
Values = dict[Part, jax.Array]
Weights = tuple[dict[str, jax.Array], Received]
"""A tile's own parameters by name, and those received from other tiles by name and owner."""
Leaves = dict[tuple[str, str], jax.Array]


def phase_forward(
    graph: Graph, programme: Programme, phase: Phase
) -> Callable[..., tuple[Leaves, Any, dict[str, jax.Array]]]:
    """Return a function of weights, trained parts, constant parts, images, labels and the numbers of the samples.

    It returns the values that the phase leaves, by layer and view, the residuals for `backward`, and the tile's part of what
    the step adds to running values.
    """

    def leaves(
        weights: Weights, trained: Values, constant: Values, images: jax.Array, samples: Any
    ) -> tuple[Leaves, tuple[Leaves, dict[str, jax.Array]]]:
        found, observed = _leaves(graph, programme, phase, weights, trained | constant, images, samples)
        through = {(path, view): v for (path, view), v in found.items() if view in graph.trained_views[path]}
        others = {key: value for key, value in found.items() if key not in through}
        return through, (others, observed)

    @jax.jit
    def forward(
        weights: Weights, trained: Values, constant: Values, images: jax.Array, labels: Any, samples: Any
    ) -> Any:
        through, residuals, (others, observed) = jax.vjp(
            lambda w, t: leaves(w, t, constant, images, samples), weights, trained, has_aux=True
        )
        return through | others, residuals, observed

    return forward


@jax.jit
def backward(residuals: Any, gradients: Leaves) -> tuple[Weights, Values]:
    """Return the gradients of a phase's weights and trained parts from those of its outputs."""
    weights, values = residuals(gradients)
    return weights, values


def phase_turn(graph: Graph, programme: Programme, phase: Phase) -> Callable[..., Any]:
    """Return the last phase with its gradient: terms of the loss with accuracies, gradients of weights and trained parts."""

    def loss(
        weights: Weights,
        trained: Values,
        constant: Values,
        images: jax.Array,
        labels: Any,
        samples: Any,
        done: Done,
    ) -> Any:
        terms, found, observed = _terms(
            graph, programme, phase, weights, trained | constant, images, labels, samples, done
        )
        return sum(terms.values(), start=jnp.zeros((), images.dtype)), (found, observed)

    @jax.jit
    def turn(
        weights: Weights,
        trained: Values,
        constant: Values,
        images: jax.Array,
        labels: Any,
        samples: Any,
        done: Done,
    ) -> Any:
        differentiate = jax.grad(loss, argnums=(0, 1), has_aux=True)
        gradients, (terms, observed) = differentiate(
            weights, trained, constant, images, labels, samples, done
        )
        return terms, gradients, observed

    return turn


def phase_values(graph: Graph, programme: Programme, phase: Phase) -> Callable[..., Leaves]:
    """Return a function of weights, parts and images: the values that the phase leaves in evaluation."""

    @jax.jit
    def values(weights: Weights, parts: Values, images: jax.Array) -> Leaves:
        return _leaves(graph, programme, phase, weights, parts, images, None)[0]

    return values


def phase_terms(graph: Graph, programme: Programme, phase: Phase) -> Callable[..., dict[str, jax.Array]]:
    """Return a function of weights, parts, images, labels and steps done: the last phase's terms and accuracies.

    It is the last phase in evaluation.
    """

    @jax.jit
    def terms(
        weights: Weights, parts: Values, images: jax.Array, labels: Any, done: Done
    ) -> dict[str, jax.Array]:
        return _terms(graph, programme, phase, weights, parts, images, labels, None, done)[1]

    return terms


def _leaves(
    graph: Graph,
    programme: Programme,
    phase: Phase,
    weights: Weights,
    parts: Values,
    images: jax.Array,
    samples: Any,
) -> tuple[Leaves, dict[str, jax.Array]]:
    """Return the values that a phase leaves, by layer and view, and what it adds to running values."""
    evaluation = _evaluate(graph, programme, phase, weights, parts, images, samples)
    keys = [(path, view) for path in phase.leaves for view in values_in(graph, graph.layer(path))]
    return {key: evaluation.values[key] for key in keys}, evaluation.observed


def _terms(
    graph: Graph,
    programme: Programme,
    phase: Phase,
    weights: Weights,
    parts: Values,
    images: jax.Array,
    labels: Any,
    samples: Any,
    done: Done,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array], dict[str, jax.Array]]:
    """Return the last phase's terms, these with the accuracies, and what it adds to running values."""
    evaluation = _evaluate(graph, programme, phase, weights, parts, images, samples)
    evaluation.done = done
    objectives = {objective.path: objective for objective in graph.objectives}
    terms = {
        share.objective: evaluation.term(objectives[share.objective], share, labels) for share in phase.terms
    }
    found = dict(terms)
    for share in phase.terms:
        found |= evaluation.accuracies(objectives[share.objective], share, labels)
    return terms, found, evaluation.observed


def _evaluate(
    graph: Graph,
    programme: Programme,
    phase: Phase,
    weights: Weights,
    parts: Values,
    images: jax.Array,
    samples: Any,
) -> TileEvaluation:
    mine, received = weights
    shared = {
        held.name: received[held.name, owner]
        for held in programme.weights
        for owner, strip in held.received
        if strip is None and (held.name, owner) in received
    }
    evaluation = TileEvaluation(
        graph,
        mine | shared,
        received,
        samples=samples,
        tile=programme.tile,
        phase=phase,
        parts=parts,
        images=images,
    )
    for share in phase.shares:
        evaluation.compute(share, values_in(graph, graph.layer(share.layer)), images)
    return evaluation


@dataclass
class TileEvaluation(Evaluation):
    """An evaluation that starts from values of earlier phases and other tiles."""

    tile: int = field(kw_only=True)
    phase: Phase = field(kw_only=True)
    parts: Values = field(kw_only=True)
    images: jax.Array = field(kw_only=True)

    def __post_init__(self) -> None:
        self.values |= {(path, view): v for (tile, path, view), v in self.parts.items() if tile == self.tile}
        self.spots = {held.layer: held for held in self.phase.held}

    def held(self, path: str, view: str) -> jax.Array:
        layer = self.graph.layer(path)
        held = self.spots[layer.path]
        regions = dict(held.received)
        if not regions and held.own.size == held.size and held.own.area:
            return cut(self.computed(path, view), held.taken)
        parts = {tile: self._received(tile, layer.path, view) for tile in regions}
        if (layer.path, values_in(self.graph, layer)[0]) in self.values:
            parts[self.tile], regions[self.tile] = cut(self.computed(path, view), held.taken), held.own
        return _assemble(held, layer, parts, regions, self.images)

    def _received(self, sender: int, path: str, view: str) -> jax.Array:
        if (sender, path, view) in self.parts:
            return self.parts[sender, path, view]
        found = next(v for (tile, layer, _), v in self.parts.items() if (tile, layer) == (sender, path))
        return jax.lax.stop_gradient(found)


def _assemble(
    held: Held, layer: Layer, parts: dict[int, jax.Array], regions: dict[int, Region], images: jax.Array
) -> jax.Array:
    """Assemble a layer's value from its parts, in the order of the tiles that sent them."""
    dtype = jnp.result_type(*parts.values()) if parts else images.dtype
    rows = layer.op.batch_rows(images.shape[-1])
    total = jnp.zeros((held.size.rows, held.size.columns, layer.sheet.maps, rows), dtype)
    for tile in sorted(parts):
        total = _put(total, regions[tile], parts[tile], layer.op.scatters)
    return total


def _put(total: jax.Array, region: Region, part: jax.Array, add: bool) -> jax.Array:
    here = total.at[region.rows.start : region.rows.stop, region.columns.start : region.columns.stop]
    return here.add(part) if add else here.set(part)
