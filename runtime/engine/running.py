"""Running values of normalisations among the gradients of an update: what its batches add, and how many there are.

An update of `p` batches has, beside the gradients,

    PATH.mean    sum_k (1 - m) * m^(p-1-k) * s_k     where batch k has the mean s_k, and m is the momentum
    batches      p                                   only where there are running values

and whoever applies it takes `r = m^p * r + that`, once, whatever its age.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import jax
import jax.numpy as jnp

from lnet.compiler.graph.graph import Graph

Arrays = Mapping[str, jax.Array]
Momenta = tuple[tuple[str, float], ...]
"""Running values by name, with their momenta."""
BATCHES = "batches"
"""The number of an update's batches, beside its gradients; no parameter has this name."""


def momenta(graph: Graph) -> Momenta:
    """Return the running values that training moves."""
    return tuple(
        (p.name, p.momentum) for p in graph.parameters if p.momentum is not None and not graph.is_held(p.name)
    )


def moves(running: Momenta, names: Iterable[str]) -> bool:
    """Whether there are running values among parameters."""
    return not {name for name, _ in running}.isdisjoint(names)


def of_batch(running: Momenta, gradients: Arrays) -> dict[str, jax.Array]:
    """Return an update of one batch, from gradients and, by the names of running values, the batch's own."""
    if not moves(running, gradients):
        return dict(gradients)
    own = {name: gradients[name] for name, _ in running if name in gradients}
    return {**gradients, **_weighed(running, own), BATCHES: jnp.ones((), float)}


@partial(jax.jit, static_argnums=0)  # of these alone: gradients that pass through a program are copied
def _weighed(running: Momenta, own: Arrays) -> dict[str, jax.Array]:
    return {name: (1 - m) * own[name] for name, m in running if name in own}


@partial(jax.jit, static_argnums=0)
def added(running: Momenta, before: Arrays, after: Arrays) -> dict[str, jax.Array]:
    """Return an update of the batches of two, of which one comes after the other: the sum of their gradients."""
    by_name = dict(running)

    def sum_of(name: str) -> jax.Array:
        if name in by_name:
            return by_name[name] ** after[BATCHES] * before[name] + after[name]
        return before[name] + after[name]

    return {name: sum_of(name) for name in before}


@partial(jax.jit, static_argnums=(0, 2))
def averaged(running: Momenta, update: Arrays, count: int) -> dict[str, jax.Array]:
    """Return an update with the mean of gradients that were added up `count` times."""
    kept = {BATCHES, *(name for name, _ in running)}
    return {name: value if name in kept else value / count for name, value in update.items()}


def moved(running: Momenta, params: Arrays, update: Arrays) -> dict[str, jax.Array]:
    """Return the running values among parameters as an update moves them."""
    return {name: m ** update[BATCHES] * params[name] + update[name] for name, m in running if name in params}
