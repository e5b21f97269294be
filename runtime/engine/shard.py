"""One tile's share of a training step: phases of computing, with messages to other tiles of its replica between them.

A step is a generator of `Send` and `Receive`; the cluster's tiles move the messages between machines, lockstep.py
within one process. It runs forward through the phases of a programme (compiler/cut/schedule.py), which keep what their
gradients need, and then through them in reverse:

    broadcast > phase 0 > ... > phase n-1 > phase n with its gradient > phase n-1 > ... > phase 0 > reduce
    weights         halos, partial sums                    gradients of halos and partial sums     gradients of weights

An evaluation is the first half of this, without gradients, and with the terms of the loss in phase n.

Sums are taken in a fixed order: a decoder's by the number of the tile, gradients with the tile's own first.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Region, Strip
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.partition import Partition
from lnet.compiler.cut.schedule import HeldWeights, Phase, Programme, schedule
from lnet.compiler.graph.graph import Graph

from .evaluate import Done, Params, Received, Targets, cut, in_all_views, values_in
from .phase import Part, Values, Weights, backward, phase_forward, phase_terms, phase_turn, phase_values

Arrays = tuple[jax.Array, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Arrays for another tile; `exchange` is their name, the same for sender and receiver."""

    receiver: int
    exchange: str
    arrays: Arrays


@dataclass(frozen=True, slots=True)
class Receive:
    """A wait for the arrays that another tile sends."""

    sender: int
    exchange: str


Gradients = dict[str, jax.Array]
Terms = dict[str, jax.Array]
Talk = Generator[Send | Receive, Any, None]
Step = Generator[Send | Receive, Any, tuple[Gradients, Terms]]
"""Yields `Send` and `Receive`; a `Receive` evaluates to the arrays received; returns gradients and terms of the loss."""
Evaluated = Generator[Send | Receive, Any, Terms]
"""The same of an evaluation, which returns the terms alone."""


class Shard:
    """One tile of a partitioned network, compiled."""

    def __init__(self, graph: Graph, partition: Partition, tile: int) -> None:
        self.graph = graph = dealt(graph, partition.tiles)
        self.programme = schedule(graph, partition, tile)
        self.links = tuple(
            _Links(graph, self.programme, number) for number in range(len(self.programme.phases))
        )
        *phases, last = self.programme.phases
        self.forward = [phase_forward(graph, self.programme, phase) for phase in phases]
        self.turn = phase_turn(graph, self.programme, last)
        self.values = [phase_values(graph, self.programme, phase) for phase in phases]
        self.terms = phase_terms(graph, self.programme, last)

    def images(self, images: jax.Array) -> jax.Array:
        """Return the tile's part of images `[row, column, channel, batch]`."""
        return cut(images, self.programme.image)

    def targets(self, targets: Targets) -> dict[str, jax.Array]:
        """Return the tile's part of targets `[row, column, map, batch]`."""
        return {path: cut(targets[path], region) for path, region in self.programme.targets}

    def owned(self, params: Params) -> dict[str, jax.Array]:
        """Return the tile's own part of whole parameters."""
        return {name: cut(params[name], region) for name, region in self.programme.owned}

    def step(
        self,
        owned: Params,
        images: jax.Array,
        labels: jax.Array | None = None,
        targets: Targets | None = None,
        samples: jax.Array | None = None,
        done: Done = 0,
    ) -> Step:
        """Compute a step: `owned` are the tile's parameters, `images` its region of `[row, column, channel, batch]`.

        `targets` are its regions of those that the network has, `samples` the numbers of the samples (`sample_numbers`;
        None: in evaluation). Returns the gradients of its parameters, and its shares of the terms of the loss.
        """
        return _Step(self, owned, images, labels, targets or {}, samples, done).go()

    def evaluation(
        self,
        owned: Params,
        images: jax.Array,
        labels: jax.Array | None = None,
        targets: Targets | None = None,
        done: Done = 0,
    ) -> Evaluated:
        """Return the tile's shares of the terms of the loss in evaluation; arguments as of `step`."""
        return _Step(self, owned, images, labels, targets or {}, None, done).evaluate()


@dataclass(frozen=True)
class _Links:
    """A phase's dependencies: the exchanges it waits for, and its inputs."""

    graph: Graph
    programme: Programme
    number: int

    @property
    def phase(self) -> Phase:
        return self.programme.phases[self.number]

    @cached_property
    def waits(self) -> tuple[int, ...]:
        """The exchanges that must be complete before the phase, and were not needed by an earlier one."""
        return tuple(exchange for exchange, user in self._first_users.items() if user == self.number)

    @cached_property
    def _first_users(self) -> dict[int, int]:
        """The first phase that needs each exchange; the last one if none does."""
        made_in, last = dict(self.programme.made_in), len(self.programme.phases) - 1
        users: dict[int, int] = {}
        for number, phase in enumerate(self.programme.phases):
            for held in phase.held:
                if held.received:
                    users.setdefault(made_in[held.layer], number)
        return {number: users.get(number, last) for number in range(last)}

    @cached_property
    def trained(self) -> tuple[Part, ...]:
        """The parts that the phase is trained through."""
        mine = [(self.programme.tile, path, view) for path in self.phase.enters for view in self._views(path)]
        return (*mine, *(part for part in self._received if self.returned(part[1])))

    @cached_property
    def constant(self) -> tuple[Part, ...]:
        """The parts that are constants to the phase."""
        mine = [
            (self.programme.tile, path, view)
            for path in self.phase.enters
            for view in values_in(self.graph, self.graph.layer(path))
            if view not in self._views(path)
        ]
        return (*mine, *(part for part in self._received if not self.returned(part[1])))

    @cached_property
    def _received(self) -> tuple[Part, ...]:
        return tuple(
            (sender, held.layer, view)
            for held in self.phase.held
            for sender, _ in held.received
            for view in (self._views(held.layer) if self.returned(held.layer) else ("",))
        )

    @cached_property
    def weights(self) -> tuple[HeldWeights, ...]:
        """The parameters that the phase computes with."""
        layers = [self.graph.layer(share.layer) for share in self.phase.shares]
        names = {parameter.name for layer in layers for parameter in layer.parameters}
        names.update(name for term in self.phase.terms for name in term.weights)
        return tuple(weights for weights in self.programme.weights if weights.name in names)

    def returned(self, path: str) -> bool:
        """Whether gradients of a layer are sent back to the tiles that sent its values."""
        return path in self.programme.returned

    def _views(self, path: str) -> tuple[str, ...]:
        return self.graph.trained_views[path]

    def gradients_of(self, sender: int, paths: Sequence[str]) -> list[Part]:
        """Return which gradients answer a message that holds parts of these layers."""
        return [(sender, path, view) for path in paths if self.returned(path) for view in self._views(path)]


@dataclass
class _Step:
    """A step under way."""

    shard: Shard
    owned: Params
    images: jax.Array
    labels: jax.Array | None
    targets: Targets
    samples: jax.Array | None
    done: Done
    received: Received = field(default_factory=dict)
    values: Values = field(default_factory=dict)
    gradients: Values = field(default_factory=dict)
    weight_gradients: dict[Any, jax.Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.programme = self.shard.programme
        self.tile = self.programme.tile
        given = in_all_views(self.shard.graph, self.targets)
        self.values.update({(self.tile, *key): value for key, value in given.items()})

    def go(self) -> Step:
        yield from self._broadcast()
        *links, last = self.shard.links
        kept = []
        for link, forward in zip(links, self.shard.forward, strict=True):
            yield from self._receive(link)
            leaves, residuals, observed = forward(*self._operands(link))
            self._observe(observed)
            self.values.update({(self.tile, *key): value for key, value in leaves.items()})
            kept.append(residuals)
            yield from self._send(link)
        yield from self._receive(last)
        terms, gradients, observed = self.shard.turn(*self._operands(last), jnp.asarray(self.done))
        self._observe(observed)
        self._add(gradients)
        yield from self._return(last)
        for link in reversed(links):
            yield from self._take_back(link)
            self._add(backward(kept.pop(), self._gradients_of(link.phase)))
            yield from self._return(link)
        return (yield from self._reduce()), terms

    def evaluate(self) -> Evaluated:
        yield from self._broadcast()
        *links, last = self.shard.links
        for link, values in zip(links, self.shard.values, strict=True):
            yield from self._receive(link)
            leaves = values(self._weights(link), self._parts(link), self.images)
            self.values.update({(self.tile, *key): value for key, value in leaves.items()})
            yield from self._send(link)
        yield from self._receive(last)
        weights, parts = self._weights(last), self._parts(last)
        return self.shard.terms(weights, parts, self.images, self.labels, jnp.asarray(self.done))

    def _operands(self, link: _Links) -> tuple[Any, ...]:
        trained = {part: self.values[part] for part in link.trained}
        constant = {part: self.values[part] for part in link.constant}
        return self._weights(link), trained, constant, self.images, self.labels, self.samples

    def _parts(self, link: _Links) -> Values:
        return {part: self.values[part] for part in (*link.trained, *link.constant)}

    def _weights(self, link: _Links) -> Weights:
        mine = {w.name: self.owned[w.name] for w in link.weights if w.name in self.owned}
        received = {
            (w.name, owner): self.received[w.name, owner] for w in link.weights for owner, _ in w.received
        }
        return mine, received

    # --- forward ---

    def _send(self, link: _Links) -> Talk:
        for receiver, parts in link.phase.sends:
            arrays = tuple(cut(self._made(path), region) for path, region in parts)
            yield Send(receiver, f"values {link.number}", arrays)

    def _made(self, path: str) -> jax.Array:
        graph = self.shard.graph
        return self.values[self.tile, path, values_in(graph, graph.layer(path))[0]]

    def _receive(self, link: _Links) -> Talk:
        for exchange in link.waits:
            for sender, paths in self.programme.phases[exchange].receives:
                arrays = yield Receive(sender, f"values {exchange}")
                for path, array in zip(paths, arrays, strict=True):
                    views = self.shard.graph.trained_views[path] if link.returned(path) else ("",)
                    self.values.update({(sender, path, view): array for view in views})

    # --- backward ---

    def _return(self, link: _Links) -> Talk:
        """Send back the gradients of the halos that no earlier phase uses: they are complete."""
        for exchange in link.waits:
            for sender, paths in self.programme.phases[exchange].receives:
                parts = link.gradients_of(sender, paths)
                if parts:
                    yield Send(sender, f"gradients {exchange}", tuple(map(self._gradient, parts)))

    def _take_back(self, link: _Links) -> Talk:
        returned: dict[Part, list[tuple[Region, jax.Array]]] = {}
        for receiver, sent in link.phase.sends:
            regions = dict(sent)
            parts = link.gradients_of(self.tile, list(regions))
            if parts:
                arrays = yield Receive(receiver, f"gradients {link.number}")
                for part, array in zip(parts, arrays, strict=True):
                    returned.setdefault(part, []).append((regions[part[1]], array))
        for part, found in returned.items():
            places, gradients = zip(*found, strict=True)
            self.gradients[part] = _added(self._gradient(part), places, gradients)

    def _gradients_of(self, phase: Phase) -> dict[tuple[str, str], jax.Array]:
        trained = self.shard.graph.trained_views
        return {
            (path, view): self._gradient((self.tile, path, view))
            for path in phase.leaves
            for view in trained[path]
        }

    def _gradient(self, part: Part) -> jax.Array:
        return self.gradients[part] if part in self.gradients else jnp.zeros_like(self.values[part])

    def _add(self, gradients: tuple[tuple[Mapping[str, jax.Array], Received], Values]) -> None:
        (mine, received), values = gradients
        add_up(self.weight_gradients, {**mine, **received})
        add_up(self.gradients, values)

    # --- weights ---

    def _observe(self, observed: Mapping[str, jax.Array]) -> None:
        """Add the tile's part of what the step adds to running values, where gradients of others are."""
        if not observed:
            return
        owners = {weights.name: owner for weights in self.programme.weights for owner, _ in weights.received}
        add_up(
            self.weight_gradients,
            {name if name in self.owned else (name, owners[name]): found for name, found in observed.items()},
        )

    def _broadcast(self) -> Talk:
        for receiver, parts in self.programme.broadcasts:
            yield Send(receiver, "weights", tuple(cut(self.owned[name], strip) for name, strip in parts))
        for owner, names in self._owners:
            arrays = yield Receive(owner, "weights")
            self.received.update({(name, owner): array for name, array in zip(names, arrays, strict=True)})

    def _reduce(self) -> Generator[Send | Receive, Any, Gradients]:
        """Send the gradients of received weights to their owners, and add up those of the weights that it broadcast."""
        for owner, names in self._owners:
            arrays = tuple(self._weight_gradient((name, owner), self.received[name, owner]) for name in names)
            yield Send(owner, "gradients of weights", arrays)
        mine = {name: self._weight_gradient(name, value) for name, value in self.owned.items()}
        for receiver, parts in self.programme.broadcasts:
            arrays = yield Receive(receiver, "gradients of weights")
            for (name, strip), array in zip(parts, arrays, strict=True):
                mine[name] = _add_at(mine[name], strip, array)
        return mine

    @property
    def _owners(self) -> list[tuple[int, list[str]]]:
        owners: dict[int, list[str]] = {}
        for weights in self.programme.weights:
            for owner, _ in weights.received:
                owners.setdefault(owner, []).append(weights.name)
        return sorted(owners.items())

    def _weight_gradient(self, key: Any, like: jax.Array) -> jax.Array:
        return self.weight_gradients[key] if key in self.weight_gradients else jnp.zeros_like(like)


def add_up(totals: Any, new: Mapping[Any, jax.Array]) -> None:
    """Add arrays to totals of the same name."""
    for key, value in new.items():
        totals[key] = totals[key] + value if key in totals else value


@partial(jax.jit, static_argnums=1)
def _added(total: jax.Array, regions: tuple[Region, ...], arrays: Arrays) -> jax.Array:
    """Add arrays at their regions, in their order."""
    for region, array in zip(regions, arrays, strict=True):
        total = _add_at(total, region, array)
    return total


def _add_at(total: jax.Array, place: Region | Strip | None, array: jax.Array) -> jax.Array:
    if place is None:
        return total + array
    region = place.region if isinstance(place, Strip) else place
    here = slice(region.rows.start, region.rows.stop), slice(region.columns.start, region.columns.stop)
    if isinstance(place, Region):
        return total.at[here].add(array)
    maps = place.maps
    return total.at[*here, ..., maps.start : maps.stop : maps.step].add(array)
