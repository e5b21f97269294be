"""The greatest norm of an update's gradients: `clip` in the `train` block.

    squares       of what one process has of the gradients: of all together [1], or of each parameter array [parameter]
    summed        those of all tiles, added in their order, up a tree of the tiles and down again
    clipped       gradients, each times norm / sqrt(square) where it is greater

        tile 0  <-- tiles 1 ... 8, each <-- its own eight: 9 ... 16 of tile 1, and so on

Parameters without a gradient, frozen ones among them, add nothing. Running values are no gradients, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lnet.compiler.cut.tree import children, measured, norms, parent
from lnet.compiler.graph.graph import Graph
from lnet.compiler.settings import Clip

from .shard import Receive, Send

Arrays = Mapping[str, jax.Array]
UP, DOWN = "norms", "norms of all"
"""What exchanges between tiles call them."""


@partial(jax.jit, static_argnums=(0, 1))
def squares(clip: Clip, names: tuple[str, ...], gradients: Arrays) -> jax.Array:
    """Return squared norms: of all gradients together, `[1]`, or of each by the order of the names, `[name]`."""
    found = [
        jnp.sum(jnp.square(gradients[name])) if name in gradients else jnp.zeros((), _dtype(gradients))
        for name in names
    ]
    return jnp.stack(found) if clip.each else sum(found, start=jnp.zeros((), _dtype(gradients)))[None]


@partial(jax.jit, static_argnums=(0, 1))
def clipped(
    clip: Clip, names: tuple[str, ...], gradients: Arrays, squares: jax.Array
) -> dict[str, jax.Array]:
    """Return gradients whose norms are at most that of `clip`; a norm that is not finite makes them so, too."""
    norms = jnp.sqrt(squares)
    factors = jnp.where(norms > clip.norm, clip.norm / norms, jnp.ones_like(norms))
    factors = jnp.where(jnp.isfinite(norms), factors, jnp.full_like(norms, jnp.nan))
    places = {name: number if clip.each else 0 for number, name in enumerate(names)}
    return {
        name: value * factors[places[name]].astype(value.dtype) if name in places else value
        for name, value in gradients.items()
    }


def clipped_alone(graph: Graph, gradients: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Return the gradients of a process that has all of them, as the file's `clip` wants them."""
    clip, names = graph.training.clip, measured(graph)
    return gradients if clip is None else clipped(clip, names, gradients, squares(clip, names, gradients))


def summed(tile: int, tiles: int, own: jax.Array) -> Generator[Send | Receive, Any, jax.Array]:
    """Add up an array of each tile of a replica, in the order of the tree; yields messages like a step."""
    below, total = children(tile, tiles), own
    for child in below:
        (found,) = yield Receive(child, UP)
        total = total + found
    if tile:
        yield Send(parent(tile), UP, (total,))
        (total,) = yield Receive(parent(tile), DOWN)
    for child in below:
        yield Send(child, DOWN, (total,))
    return total


def exchanged(graph: Graph, tile: int, tiles: int) -> Mapping[tuple[int, str], tuple[tuple[int, ...], ...]]:
    """Return the shapes that a tile receives for it, by sender and exchange."""
    both: tuple[int, ...] = 2, norms(graph)
    found = {(child, UP): (both,) for child in children(tile, tiles)}
    return {**found, **({(parent(tile), DOWN): (both,)} if tile else {})}


def _dtype(gradients: Arrays) -> Any:
    return jnp.result_type(*gradients.values()) if gradients else float
