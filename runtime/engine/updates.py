"""Update rules of optax, with state arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import optax

from lnet.compiler.rules import Rate, Update

Params = dict[str, jax.Array]


def update_rule(update: Update, steps: int) -> optax.GradientTransformation:
    """Return the optax rule of a plan; a cosine schedule reaches zero at step `steps`."""
    rate: Rate = update.rate
    if update.schedule == "cosine":
        rate = optax.cosine_decay_schedule(update.rate, steps)
    return update.transformation(rate)


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
