"""What roles compute with: a tile's copy of the parameters, a server's parameters and optimiser state.

Instances belong to one role, and are used by one thread at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lnet.compiler.core.shapes import Place, overlap, shape_at
from lnet.compiler.cut.partition import Partition
from lnet.compiler.cut.shards import places_in_shards, shard_places
from lnet.compiler.cut.tree import measured
from lnet.compiler.cut.weights import owned_places
from lnet.compiler.graph.graph import Graph
from lnet.compiler.settings import Clip
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.engine import clipping, running
from lnet.runtime.engine.evaluate import Targets
from lnet.runtime.engine.running import BATCHES
from lnet.runtime.engine.shard import Gradients, Receive, Send, Shard, Step, Terms
from lnet.runtime.engine.updates import (
    Rule,
    at_step,
    named_state,
    share_of,
    state_from_names,
    update_rule,
)
from lnet.runtime.kernels.initial import initial_values
from lnet.runtime.kernels.mode import sample_numbers

Arrays = dict[str, np.ndarray[Any, Any]]


def shard_shapes(config: RunConfig, shard: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a shard's parameters."""
    places = shard_places(config.plan.graph, config.plan.partition, shard)
    return {
        p.name: shape_at(p.shape, places[p.name]) for p in config.plan.graph.parameters if p.name in places
    }


def initial_shard(graph: Graph, places: Mapping[str, Place]) -> dict[str, jax.Array]:
    """Return the initial values of a shard's parameters, the same numbers whatever the cut."""
    return {
        p.name: initial_values(p, graph.training.seed, places[p.name])
        for p in graph.parameters
        if p.name in places
    }


def pushed_shapes(config: RunConfig, shard: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what a shard's updates hold."""
    shapes = shard_shapes(config, shard)
    return shapes | ({BATCHES: ()} if running.moves(running.momenta(config.plan.graph), shapes) else {})


def as_numpy(arrays: Mapping[str, jax.Array]) -> Arrays:
    """Return arrays as numpy sees them: read-only, without a copy where there is none to make."""
    return {name: np.asarray(array) for name, array in arrays.items()}


Clipped = tuple[Clip, tuple[str, ...]]
"""By which norm a synchronous step is clipped, and whose norms are in which order."""


@partial(jax.jit, static_argnums=(0, 6), donate_argnums=(2, 3), keep_unused=True)
def _updated(
    rule: Rule,
    params: Any,
    spare: Any,
    state: Any,
    gradients: list[Mapping[str, Any]],
    share: jax.Array | None = None,
    clip: Clipped | None = None,
    squares: jax.Array | None = None,
) -> Any:
    """Apply one update: the mean of the replicas' gradients, clipped by its `squares` if there are any.

    The new parameters and the new state take the memory of `spare`, if it is not None, and of the state that goes in.
    """
    mean = _mean([_like(params, found) for found in gradients])
    if clip is not None and squares is not None:
        mean = clipping.clipped(*clip, mean, squares)
    return rule.updated(params, state, mean, share)


def _like(params: Mapping[str, jax.Array], gradients: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Return gradients in the precision of their parameters: they may have come rounded."""
    return {
        name: jnp.asarray(value, params[name].dtype if name in params else float)
        for name, value in gradients.items()
    }


def _mean(gradients: list[dict[str, jax.Array]]) -> dict[str, jax.Array]:
    """Return the mean over the replicas' gradients, added up in their order."""
    total = gradients[0]
    for other in gradients[1:]:
        total = jax.tree.map(jnp.add, total, other)
    return {name: value / len(gradients) for name, value in total.items()}


@jax.jit
def _joint(params: Mapping[str, jax.Array], gradients: list[Mapping[str, Any]]) -> dict[str, jax.Array]:
    return _mean([_like(params, found) for found in gradients])


def _held_elsewhere(arrays: dict[str, jax.Array]) -> bool:
    """Whether anything but this dictionary holds one of its arrays."""
    (alone,) = _holders({"": object()})
    return any(count != alone for count in _holders(arrays))


def _holders(values: dict[str, Any]) -> list[int]:
    return [sys.getrefcount(value) for value in values.values()]


@dataclass
class Server:
    """Parameters and optimiser state of a shard.

    Parameters that were read never change: an update writes the next ones into the memory of the last but one, unless
    anybody still has those. New memory at every update would cost a tenth of a large network's step. The optimiser state
    is updated in place, so a snapshot copies it.
    """

    config: RunConfig
    shard: int
    params: dict[str, jax.Array] = field(default_factory=dict)
    spare: dict[str, jax.Array] | None = None
    state: Any = None

    @cached_property
    def places(self) -> Mapping[str, Place]:
        return shard_places(self.config.plan.graph, self.config.plan.partition, self.shard)

    @cached_property
    def rule(self) -> Rule:
        return update_rule(self.config.plan.graph, self.config.updates)

    def begin(self) -> None:
        self.params = initial_shard(self.config.plan.graph, self.places)
        self.state = self.rule.init(self.params)

    def install(self, params: Mapping[str, Any], state: Mapping[str, Any], steps: int = 0) -> None:
        """Take parameters and state; those of a checkpoint are those after so many `steps` of each replica."""
        done = steps * self.config.updates // max(1, self.config.plan.graph.training.steps)
        self.params = {name: jnp.array(value, float) for name, value in params.items()}
        self.spare = None
        self.state = state_from_names(self.rule, self.params, state, done)

    def apply(self, gradients: list[Mapping[str, Any]], age: int, norms: tuple[float, ...] = ()) -> None:
        """Apply one update, `age` updates old: the mean of the gradients, of all parts of a synchronous step.

        `norms`: the squared ones by which a synchronous step is clipped.
        """
        share = share_of(self.config.plan.graph.training.update, age)
        spare, self.spare = self.spare, self.params
        if spare is not None and _held_elsewhere(spare):
            spare = None
        clip, squares = (self._clip, jnp.asarray(norms, float)) if norms else (None, None)
        self.params, self.state = _updated(
            self.rule, self.params, spare, self.state, gradients, share, clip, squares
        )

    def measure(self, gradients: list[Mapping[str, Any]], step: int) -> tuple[float, ...]:
        """Return the squared norms of the mean of a synchronous step's gradients here; raises `Diverged`."""
        mean = _joint(self.params, gradients)
        squares = clipping.squares(*self._clip, mean)
        if not jnp.isfinite(squares).all():
            bad = infinite(clipping.clipped(*self._clip, mean, squares))
            raise Diverged(step + 1, 0, self.config.spec.tile_of(self.shard), (), bad)
        return tuple(map(float, squares))

    @property
    def _clip(self) -> Clipped:
        graph = self.config.plan.graph
        assert graph.training.clip is not None, "a shard measures only what is clipped"
        return graph.training.clip, measured(graph)

    def read(self) -> Mapping[str, jax.Array]:
        return dict(self.params)  # one of its own, so that whoever keeps it holds the arrays

    def snapshot(self) -> tuple[Arrays, Arrays]:
        copied = {name: jnp.array(value) for name, value in named_state(self.state).items()}
        return as_numpy(self.params), as_numpy(copied)


@dataclass(frozen=True)
class TileParts:
    """How the parameters of a tile lie in its shards."""

    graph: Graph
    partition: Partition
    tile: int

    @cached_property
    def _places(self) -> tuple[Mapping[str, Place], Sequence[Mapping[str, Place]]]:
        parts = places_in_shards(self.graph, self.partition, self.tile)
        return owned_places(self.graph, self.partition, self.tile), parts

    @cached_property
    def _shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {parameter.name: parameter.shape for parameter in self.graph.parameters}

    def joined(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return a tile's arrays, from what each shard has of them."""
        if len(parts) == 1:
            return parts[0]
        whole, places = self._places
        arrays: dict[str, Any] = {}
        for at, part in zip(places, parts, strict=True):
            for name, array in part.items():
                shape = shape_at(self._shapes[name], whole[name])
                into = arrays.setdefault(name, np.empty(shape, np.asarray(array).dtype))
                _copy(into, whole[name], np.asarray(array), at[name], self._shapes[name])
        return arrays

    def divided(self, arrays: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        """Return what each shard has of a tile's arrays; of an update also its number of batches, where that counts."""
        whole, places = self._places
        if len(places) == 1:
            return (arrays,)
        moving = running.momenta(self.graph)
        return tuple(
            {name: self._part(name, arrays[name], whole[name], at[name]) for name in at}
            | ({BATCHES: arrays[BATCHES]} if BATCHES in arrays and running.moves(moving, at) else {})
            for at in places
        )

    def _part(self, name: str, array: Any, whole: Place, at: Place) -> Any:
        shape, found = self._shapes[name], np.asarray(array)
        part = np.empty(shape_at(shape, at), found.dtype)
        _copy(part, at, found, whole, shape)
        return part


def _copy(
    into: np.ndarray[Any, Any], at: Place, array: np.ndarray[Any, Any], place: Place, shape: tuple[int, ...]
) -> None:
    """Copy what an array at a place has of a parameter into another, at its own."""
    for here, there in overlap(at, place, shape):
        into[here] = array[there]


@dataclass
class Replica:
    """A tile's own copy of the parameters, and the gradients of the update that it is working on.

    Between two fetches the copy takes steps of its own, by the file's rule with an optimiser state of its own, at the rate
    that its schedule has at the replica's step.
    """

    config: RunConfig
    shard: Shard
    params: dict[str, jax.Array] = field(default_factory=dict)
    state: Any = None
    total: dict[str, jax.Array] | None = None

    @cached_property
    def rule(self) -> Rule:
        return update_rule(self.config.plan.graph)

    @cached_property
    def parts(self) -> TileParts:
        return TileParts(self.config.plan.graph, self.config.plan.partition, self.shard.programme.tile)

    def install(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Take the parameters fetched from each of the tile's shards, which may have come rounded."""
        params = self.parts.joined(parts)
        self.params = {name: jnp.asarray(value, float) for name, value in params.items()}

    def step(
        self, images: jax.Array, labels: jax.Array | None, targets: Targets, batch: int, done: int
    ) -> Step:
        """Begin the step of a batch, by its number in the run; `done`: the replica's own steps before."""
        rows = self.config.plan.graph.training.batch_rows
        samples = jnp.asarray(sample_numbers(batch * rows, rows))
        gradients, terms = yield from self.shard.step(self.params, images, labels, targets, samples, done)
        return running.of_batch(self.rule.running, gradients), terms

    def summed(
        self, before: tuple[Gradients, Terms], after: tuple[Gradients, Terms]
    ) -> tuple[Gradients, Terms]:
        """Return the sums over the batches of two, of which one comes after the other."""
        gradients = running.added(self.rule.running, before[0], after[0])
        return gradients, jax.tree.map(jnp.add, before[1], after[1])

    def averaged(self, sums: tuple[Gradients, Terms]) -> tuple[Gradients, Terms]:
        """Return a step's means of gradients and terms, from the sums over its batches."""
        count = self.config.plan.graph.training.accumulate
        if count == 1:
            return sums
        terms = {path: value / count for path, value in sums[1].items()}
        return running.averaged(self.rule.running, sums[0], count), terms

    def add(
        self, gradients: Gradients, step: int, first: bool, last: bool, onward: bool
    ) -> Generator[Send | Receive, Any, tuple[Mapping[str, Any], ...]]:
        """Add the gradients of the replica's `step` to the update's; step the own copy if the next step begins with it.

        Returns the update's gradients for each of the tile's shards after its last step, clipped with the other tiles.
        Raises `Overflow`.
        """
        begins = first or self.total is None
        total = dict(gradients) if begins else running.added(self.rule.running, self.total, gradients)
        self.total = None if last else total
        own: Mapping[str, jax.Array] = gradients
        if self.config.clips_pushes and (last or onward):
            total, own = yield from self._clipped(total if last else {}, own if onward else {})
        if onward:
            if self.state is None:
                self.state = self.rule.init(self.params)
            state = at_step(self.state, step)
            self.params, self.state = _updated(self.rule, self.params, None, state, [own])
        return self.parts.divided(total) if last else ()

    def _clipped(
        self, pushed: Mapping[str, jax.Array], own: Mapping[str, jax.Array]
    ) -> Generator[Send | Receive, Any, tuple[dict[str, jax.Array], dict[str, jax.Array]]]:
        """Clip what is pushed and what the own copy steps by, with the norms that all tiles have together."""
        graph, programme = self.config.plan.graph, self.shard.programme
        clip, names = graph.training.clip, measured(graph)
        assert clip is not None
        mine = jnp.stack([clipping.squares(clip, names, found) for found in (pushed, own)])
        squares = yield from clipping.summed(programme.tile, self.config.spec.tiles, mine)
        clipped = [
            clipping.clipped(clip, names, found, each)
            for found, each in zip((pushed, own), squares, strict=True)
        ]
        if not jnp.isfinite(squares).all():
            raise Overflow(tuple(dict.fromkeys((*infinite(clipped[0]), *infinite(clipped[1])))))
        return clipped[0], clipped[1]

    def cancel(self) -> None:
        self.total = None


@dataclass(eq=False)
class Overflow(Exception):
    """Gradients whose norm is not finite, by name."""

    gradients: tuple[str, ...]


@dataclass(eq=False)
class Diverged(Exception):
    """A step of a tile whose loss or gradient is not finite: which objectives and which gradients are not."""

    step: int
    replica: int
    tile: int
    objectives: tuple[str, ...]
    gradients: tuple[str, ...]


@dataclass(eq=False)
class Differs(Exception):
    """A step of a tile whose images are not those of another tile of its replica: names, and checksums in hex."""

    replica: int
    batch: int
    tile: int
    other: int
    names: tuple[str, ...]
    checksums: tuple[str, ...]


def infinite(arrays: Mapping[str, jax.Array]) -> tuple[str, ...]:
    """Return the names of the arrays that are not finite."""
    return tuple(name for name, array in arrays.items() if not jnp.isfinite(array).all())


def finite(gradients: Gradients, terms: Terms) -> bool:
    """Whether a step's terms and gradients are numbers."""
    return bool(_finite([*gradients.values(), *terms.values()]))


@jax.jit
def _finite(arrays: list[jax.Array]) -> jax.Array:
    return jnp.isfinite(sum(jnp.sum(array) for array in arrays))
