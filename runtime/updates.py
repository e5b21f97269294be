"""Update rules: the formulas and states of optax, taken in two steps; names for what is in a state.

    state before, gradients  ->  next state            advance
    next state, gradients    ->  change of parameters  change

In two steps because then nothing reads the state before once the next one is there, which so takes its memory. In one
step, as optax has it, XLA fuses the formula of the next state into that of the change and must hold both states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from lnet.compiler.settings import Update

Params = dict[str, jax.Array]
State = tuple[Any, Any]
"""What optax keeps: moments of the gradients, and how many steps a schedule has seen."""

MEAN, SQUARE = 0.9, 0.999
"""How much of its moments Adam keeps from step to step."""


@dataclass(frozen=True, slots=True)
class Rule:
    """An update rule; `rate` is a number or a function of the number of steps before."""

    init: Callable[[Params], State]
    rate: float | Callable[[Any], Any]
    momentum: float

    def advance(self, gradients: Params, state: State) -> State:
        """Return the state after one more step."""
        moments, schedule = state
        match moments:
            case optax.ScaleByRssState(total):
                moments = optax.ScaleByRssState(_each(lambda g, t: g * g + t, gradients, total))
            case optax.ScaleByAdamState(count, mean, square):
                mean = _each(lambda g, m: (1 - MEAN) * g + MEAN * m, gradients, mean)
                square = _each(lambda g, s: (1 - SQUARE) * (g * g) + SQUARE * s, gradients, square)
                moments = optax.ScaleByAdamState(count + 1, mean, square)
            case optax.TraceState(trace):
                moments = optax.TraceState(_each(lambda g, t: g + self.momentum * t, gradients, trace))
        return moments, jax.tree.map(lambda count: count + 1, schedule)

    def change(self, gradients: Params, state: State) -> Params:
        """Return what is added to the parameters; `state` is the one after this step."""
        moments, schedule = state
        rate = self.rate(schedule.count - 1) if callable(self.rate) else self.rate
        return _each(lambda direction: -rate * direction, _directions(gradients, moments))


def _directions(gradients: Params, moments: Any) -> Params:
    match moments:
        case optax.ScaleByRssState(total):
            return _each(lambda g, t: jnp.where(t > 0, lax.rsqrt(t + 1e-7), 0.0) * g, gradients, total)
        case optax.ScaleByAdamState(count, mean, square):
            mean_part, square_part = 1 - MEAN**count, 1 - SQUARE**count
            return _each(lambda m, s: m / mean_part / (jnp.sqrt(s / square_part) + 1e-8), mean, square)
        case optax.TraceState(trace):
            return dict(trace)
    return gradients


def _each(formula: Callable[..., jax.Array], *arrays: Mapping[str, jax.Array]) -> Params:
    """Apply a formula to the arrays of each parameter."""
    return {name: formula(*(values[name] for values in arrays)) for name in arrays[0]}


def update_rule(update: Update, steps: int) -> Rule:
    """Return the rule that a plan names; `steps` is where a cosine schedule reaches zero."""
    rate: float | Callable[[Any], Any] = update.rate
    if update.schedule == "cosine":
        rate = optax.cosine_decay_schedule(update.rate, steps)
    match update.rule:
        case "sgd":
            rule = optax.sgd(rate, momentum=update.momentum or None)
        case "adam":
            rule = optax.adam(rate)
        case _:
            rule = optax.adagrad(rate, initial_accumulator_value=update.initial)
    return Rule(rule.init, rate, update.momentum or 0.0)


def named_state(state: Any) -> dict[str, jax.Array]:
    """Return the arrays of a rule's state by name: `0.sum_of_squares/V1.filter.weight`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {_name(path): leaf for path, leaf in leaves}


def state_from_names(rule: Rule, params: Params, named: Mapping[str, Any]) -> Any:
    """Return the state that `named_state` took apart; raises KeyError for a name that is missing."""
    template = jax.eval_shape(rule.init, params)
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    arrays = [jax.numpy.asarray(named[_name(path)], leaf.dtype) for path, leaf in leaves]
    return jax.tree_util.tree_unflatten(structure, arrays)


def _name(path: tuple[Any, ...]) -> str:
    places = [str(getattr(key, "idx", getattr(key, "name", ""))) for key in path if not hasattr(key, "key")]
    parameter = "".join(f"/{key.key}" for key in path if hasattr(key, "key"))
    return ".".join(places) + parameter
