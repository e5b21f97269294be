"""Replicas and their server in virtual time, with real gradients and updates.

One heap of events says when each replica's fetch, step and push happen. A step takes the time of its kernels, twice
that at the last replica; messages and updates take theirs. When a fetch is answered, the protocol's own
`Spec.updates_needed` decides. Batches are given out one by one, in the order of asking.

    pull ---small---> wait for the others ---> read ---large---> compute ---large---> apply ---small---> acknowledged
                                                                    \\--- the next pull
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lnet.runtime.cluster.actors.numerics import Replica, Server
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.engine.evaluate import batch_last
from lnet.runtime.engine.shard import Shard

EVERY = 16
"""Batches between two looks at the loss."""


@dataclass(frozen=True)
class Times:
    """Seconds: of a step's kernels, of an update, of a message without arrays and of one with all parameters."""

    kernels: float
    update: float
    small: float
    large: float


@dataclass
class Simulation:
    """A run in virtual time; a replica's `step` counts its own, `taken` those of its updates that the server has."""

    config: RunConfig
    shard: Shard
    times: Times
    images: np.ndarray[Any, Any]
    loss: Callable[[Mapping[str, jax.Array]], float]
    clock: float = 0.0
    busy: float = 0.0
    head: int = 0
    leased: int = 0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    count: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    staged: dict[int, Any] = field(default_factory=dict)
    history: list[tuple[int, float, float]] = field(default_factory=list)
    ages: list[int] = field(default_factory=list)
    active: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec = self.config.spec
        slots = range(self.spec.replicas)
        self.server, self.replicas = (
            Server(self.config, 0),
            [Replica(self.config, self.shard) for _ in slots],
        )
        self.step, self.taken, self.outgoing = ([0 for _ in slots] for _ in range(3))
        self.held = [False for _ in slots]

    def run(self) -> Simulation:
        self.server.begin()
        self.look()
        first = 1 if self.warmup else self.spec.replicas
        self.active = [slot < first for slot in range(self.spec.replicas)]
        for slot in range(first):
            self.begin(slot)
        while self.events:
            self.clock, _, happen = heapq.heappop(self.events)
            happen()
        return self

    @property
    def warmup(self) -> int:
        return 0 if self.spec.synchronous else self.spec.warmup

    def join(self) -> None:
        """Let the others start where the first replica is."""
        for slot in range(1, self.spec.replicas):
            self.step[slot] = self.taken[slot] = self.warmup
            self.begin(slot)

    def after(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        self.at(self.clock + seconds, call, *arguments)

    def at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        self.count += 1
        heapq.heappush(self.events, (when, self.count, partial(call, *arguments)))

    # --- replicas --------------------------------------------------------------------------------------------------

    def begin(self, slot: int) -> None:
        """Take the next batch and ask for parameters, unless too many pushes are under way."""
        self.held[slot] = self.outgoing[slot] >= self.spec.window
        if self.held[slot]:
            return
        self.active[slot] = self.leased < self.spec.batches
        if self.active[slot]:
            batch = self.step[slot] * self.spec.replicas + slot if self.spec.synchronous else self.leased
            self.leased += 1
            self.after(self.times.small, self.pull, slot, batch)
        else:
            self.answer()

    def compute(self, slot: int, batch: int, params: Mapping[str, jax.Array], version: int) -> None:
        self.replicas[slot].install(params)
        seconds = self.times.kernels * (2 if slot == self.spec.replicas - 1 else 1)
        self.after(seconds, self.computed, slot, batch, version)

    def computed(self, slot: int, batch: int, version: int) -> None:
        size = self.config.plan.graph.training.batch
        start = batch * size % (len(self.images) - size + 1)
        gradients = gradients_of(self.replicas[slot], self.images[start : start + size])
        self.outgoing[slot] += 1
        self.step[slot] += 1
        self.after(self.times.large, self.push, slot, gradients, version)
        self.begin(slot)

    def acknowledged(self, slot: int) -> None:
        self.outgoing[slot] -= 1
        if self.held[slot]:
            self.begin(slot)

    # --- the server ------------------------------------------------------------------------------------------------

    def pull(self, slot: int, batch: int) -> None:
        self.waiting[slot] = batch
        self.answer()

    def answer(self) -> None:
        """Read for those that wait for no other; reading is queued behind the updates before it."""
        for slot in [slot for slot in self.waiting if self.answerable(self.step[slot])]:
            batch, version = self.waiting.pop(slot), self.head
            self.at(max(self.busy, self.clock), self.read, slot, batch, version)

    def answerable(self, step: int) -> bool:
        if self.spec.synchronous:
            return self.head == step
        needed = self.spec.updates_needed(step)
        return all(n >= needed for n, active in zip(self.taken, self.active, strict=True) if active)

    def read(self, slot: int, batch: int, version: int) -> None:
        self.after(self.times.large, self.compute, slot, batch, self.server.read(), version)

    def push(self, slot: int, gradients: Any, version: int) -> None:
        self.taken[slot] += 1
        if not self.spec.synchronous:
            self.apply([slot], [gradients], version)
            if slot == 0 and self.taken[0] == self.warmup:
                self.join()
            return
        self.staged[slot] = gradients
        if len(self.staged) == self.spec.replicas:  # the coordinator hears of it, and says so
            slots = sorted(self.staged)
            parts = [self.staged.pop(part) for part in slots]
            self.after(2 * self.times.small, self.apply, slots, parts, version)

    def apply(self, slots: list[int], parts: list[Any], version: int) -> None:
        age = self.head - version
        self.ages.append(age)
        self.head += 1
        self.busy = max(self.busy, self.clock) + self.times.update
        self.at(self.busy, self.applied, slots, parts, self.head, age)
        self.answer()

    def applied(self, slots: list[int], parts: list[Any], line: int, age: int) -> None:
        self.server.apply(parts, age)
        for slot in slots:
            self.after(self.times.small, self.acknowledged, slot)
        if line * len(slots) % EVERY == 0:
            self.look(line * len(slots))

    def look(self, batches: int = 0) -> None:
        size = self.config.plan.graph.training.batch
        self.history.append((batches * size, self.clock, self.loss(self.server.params)))

    def reaches(self, loss: float) -> tuple[int, float] | None:
        """Return images and seconds until the loss is first as low as this."""
        found = ((images, at) for images, at, value in self.history if value <= loss)
        return next(found, None)


def gradients_of(replica: Replica, images: np.ndarray[Any, Any]) -> Any:
    """Compute a step of a replica of one tile."""
    step = replica.step(batch_last(jnp.asarray(images)), None, {}, 0, 0)
    try:
        step.send(None)
    except StopIteration as end:
        return end.value[0]
    raise AssertionError("schedule: a single tile exchanges nothing")
