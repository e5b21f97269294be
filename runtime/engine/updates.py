"""The update rules of optax on the parameters of a network, with state arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import optax

from lnet.compiler.graph.graph import Graph
from lnet.compiler.graph.views import trained_parameters
from lnet.compiler.rules import Rate, Update
from lnet.compiler.schedules import Steps
from lnet.runtime.kernels.unit import unit_vectors

from . import running, scaling

Params = dict[str, jax.Array]


@dataclass(frozen=True)
class Rule:
    """The update rule of a network: optax's, with what parameters have of their own.

    `speeds`: factors on the changes of parameters, where they are not 1; `frozen`: parameters that no gradient moves, and
    that have no state; `unit`: those whose vectors have length 1 after every update. `running`: the momenta of running
    values, which each batch moves (running.py). `scaled`: whether the loss is scaled, and the state knows by how much.
    """

    transformation: optax.GradientTransformation
    speeds: tuple[tuple[str, float], ...] = ()
    frozen: frozenset[str] = frozenset()
    unit: frozenset[str] = frozenset()
    running: running.Momenta = ()
    scaled: bool = False

    def init(self, params: Params) -> Any:
        """Return the state before the first update."""
        state = self.transformation.init(self._trained(params))
        return scaling.begun(state) if self.scaled else state

    def updated(
        self, params: Params, state: Any, gradients: Params, share: jax.Array | None = None
    ) -> tuple[Params, Any]:
        """Return parameters and state after one step, or a `share` of the step."""
        if isinstance(state, scaling.Scaled):
            params, rule = replace(self, scaled=False).updated(params, state.rule, gradients, share)
            return params, scaling.taken(state, rule)
        trained = self._trained(params)
        changes, state = self.transformation.update(self._trained(gradients), state, trained)
        changes = {**changes, **{name: s * changes[name] for name, s in self.speeds if name in changes}}
        if share is not None:
            changes = jax.tree.map(lambda change: share * change, changes)
        moved: Params = optax.apply_updates(trained, changes)
        moved |= _of_length_1(moved, self.unit)
        moved |= running.moved(self.running, params, gradients)
        return {name: moved.get(name, value) for name, value in params.items()}, state

    def _trained(self, arrays: Params) -> Params:
        return {n: array for n, array in arrays.items() if n not in self.frozen and n != running.BATCHES}


def _of_length_1(params: Params, unit: frozenset[str]) -> Params:
    return {name: unit_vectors(value) for name, value in params.items() if name in unit}


def constrained(graph: Graph, params: Params) -> Params:
    """Return parameters that come from elsewhere as the network's constraints ask."""
    return params | _of_length_1(params, frozenset(p.name for p in graph.parameters if p.unit))


def update_rule(graph: Graph, updates: int | None = None) -> Rule:
    """Return the rule of a graph's plan, of which whoever uses it takes so many `updates`; None: one in each step."""
    training = graph.training
    rate = learning_rate(training.update, training.steps, training.steps if updates is None else updates)
    return Rule(
        training.update.decaying(rate, decaying(graph)),
        tuple((p.name, p.speed) for p in graph.parameters if p.speed != 1),
        frozenset(p.name for p in graph.parameters if graph.is_frozen(p.name)),
        frozenset(p.name for p in graph.parameters if p.unit),
        running.momenta(graph),
        training.precision == "float16",
    )


def decaying(graph: Graph) -> frozenset[str]:
    """Return the parameters that a rule's decay of weights acts on: weights, decoders among them, that are trained."""
    weights = {p.name for layer in graph.layers for p in layer.parameters if p.is_weight}
    return trained_parameters(graph) & weights


def learning_rate(update: Update, steps: int, updates: int) -> Rate:
    """Return a rule's rate, as a function of how many of its `updates` are done unless it stays the same.

    A schedule says steps of a replica, of which there are `steps`; a server takes those of all replicas, or one update for
    several of them.
    """
    every = updates / max(1, steps)
    rise = update.rise * every
    falling = _falling(update, max(1, updates - rise), rise, every)
    if not rise:
        return falling

    def rate(count: Any) -> Any:
        rising = update.rate * jax.numpy.minimum((count + 1) / rise, 1)
        after = falling(count - rise) if callable(falling) else falling
        return jax.numpy.where(count < rise, rising, after)

    return rate


def _falling(update: Update, left: float, rise: float, every: float) -> Rate:
    """Return the rate once it has risen, for `rise` updates, as a function of the updates since then, `left` in all."""
    match update.schedule:
        case "cosine":
            return optax.cosine_decay_schedule(update.rate, left)  # type: ignore[no-any-return]
        case "linear":
            return optax.linear_schedule(update.rate, 0.0, left)  # type: ignore[no-any-return]
        case Steps(at, factor):
            factors = {step * every - rise: factor for step in at}
            return optax.piecewise_constant_schedule(update.rate, factors)  # type: ignore[no-any-return]
    return update.rate


def at_step(state: Any, step: int) -> Any:
    """Return a rule's state where its schedule is at a step."""
    kind = optax.ScaleByScheduleState

    def moved(part: Any) -> Any:
        return kind(jax.numpy.asarray(step, part.count.dtype)) if isinstance(part, kind) else part

    return jax.tree.map(moved, state, is_leaf=lambda part: isinstance(part, kind))


def share_of(update: Update, age: int) -> jax.Array | None:
    """Return the fraction of the step for a gradient that is `age` updates old; None: the full step."""
    return jax.numpy.asarray(1 / max(1, age), float) if update.stale == "scaled" else None


def named_state(state: Any) -> dict[str, jax.Array]:
    """Return the arrays of a rule's state by name: `0.sum_of_squares/V1.filter.weight`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {_name(path): leaf for path, leaf in leaves}


def state_from_names(rule: Rule, params: Params, named: Mapping[str, Any], updates: int = 0) -> Any:
    """Return the state from the arrays of `named_state`; raises KeyError for a missing name.

    A schedule that they do not know is where it is after so many `updates`.
    """
    template = at_step(jax.eval_shape(rule.init, params), updates)
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    arrays = [_array(named, _name(path), leaf) for path, leaf in leaves]
    return jax.tree_util.tree_unflatten(structure, arrays)


def _array(named: Mapping[str, Any], name: str, leaf: Any) -> jax.Array:
    if name not in named and isinstance(leaf, jax.Array):  # the count of a schedule
        return leaf
    return jax.numpy.asarray(named[name], leaf.dtype)


def missing_state(rule: Rule, before: Rule, graph: Graph) -> tuple[str, ...]:
    """Return the names of arrays that the state of a graph's rule has, and that of the rule `before` has not."""
    shapes = {p.name: jax.eval_shape(partial(jax.numpy.zeros, p.shape)) for p in graph.parameters}
    known = named_state(jax.eval_shape(before.init, shapes))
    wanted = named_state(at_step(jax.eval_shape(rule.init, shapes), 0))
    return tuple(
        name for name, leaf in wanted.items() if name not in known and not isinstance(leaf, jax.Array)
    )


def _name(path: tuple[Any, ...]) -> str:
    places = [str(getattr(key, "idx", getattr(key, "name", ""))) for key in path if not hasattr(key, "key")]
    parameter = "".join(f"/{key.key}" for key in path if hasattr(key, "key"))
    return ".".join(places) + parameter
