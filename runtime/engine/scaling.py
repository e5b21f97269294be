"""The scale of the loss in float16, whose least number is 6e-8: gradients are those of a loss that is so many times larger.

    loss * scale  -->  gradients * scale  -->  gradients      all finite    their update; after 2,000 of them twice the scale
                                                              others        no update, and half the scale

Powers of two round nothing. Gradients that are not finite at a scale of 1 end the run (Micikevicius et al. 2018).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

FIRST, LEAST = 2.0**15, 1.0
ENOUGH = 2000
"""Good updates, one after the other, after which the scale is doubled."""


class Scaled(NamedTuple):
    """The state of an update rule, and the scale, the good updates since it changed, and the updates left out so far."""

    rule: Any
    scale: jax.Array
    good: jax.Array
    left_out: jax.Array


def begun(rule: Any) -> Scaled:
    """Return the state before the first update."""
    return Scaled(rule, jnp.asarray(FIRST, float), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def taken(state: Scaled, rule: Any) -> Scaled:
    """Return the state after a good update, which has left the rule with another one."""
    enough = state.good + 1 >= ENOUGH
    scale = jnp.where(enough, 2 * state.scale, state.scale)
    return Scaled(rule, scale, jnp.where(enough, 0, state.good + 1), state.left_out)


def left_out(state: Any) -> Any:
    """Return the state after an update that was left out."""
    if not isinstance(state, Scaled):
        return state
    return Scaled(state.rule, state.scale / 2, jnp.zeros_like(state.good), state.left_out + 1)


def scale_of(state: Any) -> jax.Array | None:
    """Return the scale of the next loss; None where there is none."""
    return state.scale if isinstance(state, Scaled) else None


def count(state: Any) -> int:
    """Return how many updates were left out so far."""
    return int(state.left_out) if isinstance(state, Scaled) else 0
