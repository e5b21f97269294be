"""Update rules of optax, with state arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import optax

from lnet.compiler.graph.graph import Graph
from lnet.compiler.graph.views import trained_parameters
from lnet.compiler.rules import Rate, Update
from lnet.compiler.schedules import Steps

Params = dict[str, jax.Array]


def update_rule(graph: Graph, updates: int | None = None) -> optax.GradientTransformation:
    """Return the optax rule of a graph's plan, of which whoever uses it takes so many `updates`; None: one in each step."""
    training = graph.training
    rate = learning_rate(training.update, training.steps, training.steps if updates is None else updates)
    return training.update.decaying(rate, decaying(graph))


def decaying(graph: Graph) -> frozenset[str]:
    """Return the parameters that a rule's decay of weights acts on: weights, decoders among them, that are trained."""
    weights = {p.name for layer in graph.layers for p in layer.parameters if p.role == "weight"}
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


def updated(
    rule: optax.GradientTransformation,
    params: Params,
    state: Any,
    gradients: Params,
    share: jax.Array | None = None,
) -> tuple[Params, Any]:
    """Return parameters and state after one step of a rule, or a `share` of the step."""
    changes, state = rule.update(gradients, state, params)
    if share is not None:
        changes = jax.tree.map(lambda change: share * change, changes)
    return optax.apply_updates(params, changes), state


def share_of(update: Update, age: int) -> jax.Array | None:
    """Return the fraction of the step for a gradient that is `age` updates old; None: the full step."""
    return jax.numpy.float32(1 / max(1, age)) if update.stale == "scaled" else None


def named_state(state: Any) -> dict[str, jax.Array]:
    """Return the arrays of a rule's state by name: `0.sum_of_squares/V1.filter.weight`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {_name(path): leaf for path, leaf in leaves}


def state_from_names(rule: optax.GradientTransformation, params: Params, named: Mapping[str, Any]) -> Any:
    """Return the state from the arrays of `named_state`; raises KeyError for a missing name."""
    template = jax.eval_shape(rule.init, params)
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    arrays = [jax.numpy.asarray(named[_name(path)], leaf.dtype) for path, leaf in leaves]
    return jax.tree_util.tree_unflatten(structure, arrays)


def _name(path: tuple[Any, ...]) -> str:
    places = [str(getattr(key, "idx", getattr(key, "name", ""))) for key in path if not hasattr(key, "key")]
    parameter = "".join(f"/{key.key}" for key in path if hasattr(key, "key"))
    return ".".join(places) + parameter
