"""The tiles of a process: performs the protocol's instructions about steps, and exchanges arrays with other tiles."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp

from lnet.compiler.cut.schedule import Programme
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol import events
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.messages import TileFence
from lnet.runtime.cluster.published import TileComputed
from lnet.runtime.cluster.transport.inbox import Mailbox
from lnet.runtime.engine.evaluate import Targets, as_targets, batch_last
from lnet.runtime.engine.shard import Gradients, Shard, Terms
from lnet.runtime.store.events import Event, Warned

from .images import Images
from .numerics import Diverged, Overflow, Replica, finite, infinite
from .talk import SendArrays, Talk
from .threads import Threads, waiting
from .windows import Windows, group


class Tiles:
    """`soon` calls something on the event loop, where `outbox` sends arrays; `ahead` says which batches a role will need.

    `log` publishes an event.
    """

    def __init__(
        self,
        config: RunConfig,
        threads: Threads,
        log: Callable[[Event], None],
        soon: Callable[..., Any],
        outbox: SendArrays,
        ahead: Callable[[RoleId, int], Iterable[int]],
    ) -> None:
        self.config, self.threads, self.log, self.soon, self.ahead = config, threads, log, soon, ahead
        self.send: SendArrays = partial(soon, outbox)
        self.inbox, self.images = Mailbox(), Images(config)
        self.windows = Windows(config, self.images, self.inbox, self.send)
        self.replicas: dict[RoleId, Replica] = {}
        self.shards: dict[int, Shard] = {}
        self.cancelled: dict[RoleId, threading.Event] = {}
        self.traffic: Counter[tuple[int, int]] = Counter()
        self.rehearsing = threading.Lock()

    def count(self, fence: TileFence, size: int) -> None:
        """Count bytes between a tile here and a server elsewhere, for the tile's next event."""
        self.traffic[fence.slot, self.config.spec.tile_of(fence.shard)] += size

    def busy(self, role: RoleId) -> bool:
        """Whether a tile computes, so that other tiles may wait for its arrays."""
        return role in self.cancelled

    def drop(self, role: RoleId) -> None:
        """Free what a tile holds."""
        self._give_up(role)
        self.replicas.pop(role, None)
        self.windows.forget(role)

    def close(self) -> None:
        for role in list(self.replicas):
            self.drop(role)
        self.inbox.clear()
        self.images.close()

    def _give_up(self, role: RoleId) -> None:
        if role in self.cancelled:
            self.cancelled.pop(role).set()
            self.inbox.wake()
            self.windows.cancel(role)

    def replica(self, role: RoleId) -> Replica:
        """Return what a role computes with."""
        if role not in self.replicas:
            self.replicas[role] = Replica(self.config, self.shard(role.index))
        return self.replicas[role]

    def shard(self, tile: int) -> Shard:
        """Return a tile of the plan, which is compiled when it first computes; the same one in whatever thread."""
        if tile not in self.shards:
            self.shards.setdefault(tile, Shard(self.config.plan.graph, self.config.plan.partition, tile))
        return self.shards[tile]

    def programme(self, tile: int) -> Programme:
        """Return the programme of a tile of the plan."""
        return self.shard(tile).programme

    def _load_params(self, load: do.LoadParams) -> None:
        replica, parts = self.replica(load.role), cast(Sequence[Mapping[str, Any]], load.payloads)
        self.threads.submit(load.role, lambda: replica.install(parts))

    def _cancel(self, cancel: do.Cancel) -> None:
        self._give_up(cancel.role)
        if cancel.role in self.replicas:
            self.threads.submit(cancel.role, self.replicas[cancel.role].cancel)

    def _compute(self, compute: do.Compute) -> None:
        role, replica, cancelled = compute.role, self.replica(compute.role), self.begin(compute)
        self._expect(compute, 0)
        self.threads.submit(role, lambda: self._step(compute, replica, cancelled))

    def begin(self, wanted: do.Compute | do.Validate) -> threading.Event:
        """Take arrays of a step or a validation from now on; return what says that it is given up."""
        role = wanted.role
        self.inbox.begin(role.slot, role.index, wanted.generation)
        return self.cancelled.setdefault(role, threading.Event())

    def _expect(self, compute: do.Compute, index: int, cancelled: threading.Event | None = None) -> None:
        """Have the batches decoded that a tile needs next, from batch `index` of a step on, unless that was given up."""
        if cancelled is not None and cancelled.is_set():
            return
        every = self.config.plan.graph.training.accumulate
        later = dict.fromkeys((compute.batch, *self.ahead(compute.role, compute.batch)))
        numbers = [number * every + i for number in later for i in range(every)]
        self.windows.expect(compute, numbers[index:])

    def _step(self, compute: do.Compute, replica: Replica, cancelled: threading.Event) -> tuple[Any, ...]:
        """Compute one step, in the role's thread."""
        if self.rehearsing.locked():  # what is being compiled is what this step needs
            with waiting(), self.rehearsing:
                pass
        began, every = time.perf_counter(), self.config.plan.graph.training.accumulate
        talk, loaded = Talk(compute, self.inbox, self.send, cancelled), 0.0
        sums: tuple[Gradients, Terms] | None = None
        number = compute.update.number * self.config.spec.push + compute.index
        for index in range(every):
            asked = time.perf_counter()
            taken = self._take(compute, index, talk)
            loaded += time.perf_counter() - asked
            found = talk.through(replica.step(*taken, number))
            sums = found if sums is None else replica.summed(sums, found)
        assert sums is not None, "a step has a batch"
        gradients, terms = replica.averaged(sums)
        if not finite(gradients, terms):
            raise self._diverged(compute, number, infinite(terms), infinite(gradients))
        try:
            pushed = talk.through(replica.add(gradients, number, compute.first, compute.last, compute.onward))
        except Overflow as error:
            raise self._diverged(compute, number, (), error.gradients) from error
        seconds = time.perf_counter() - began
        self._report_step(compute, terms, seconds, loaded, talk)
        return (
            events.Computed,
            compute.role,
            compute.update,
            compute.index,
            pushed,
            seconds - loaded - talk.exchanged,
        )

    def _take(
        self, compute: do.Compute, index: int, talk: Talk
    ) -> tuple[jax.Array, jax.Array | None, Targets, int]:
        """Return images (last axis), labels and targets of a batch of a step, and its number, in the role's thread."""
        every = self.config.plan.graph.training.accumulate
        number = compute.batch * every + index
        with waiting():
            batch = self.windows.take(compute, number, talk.cancelled.is_set)
        if index + 1 < every:
            self.soon(self._expect, compute, index + 1, talk.cancelled)
        talk.begin(compute.index * every + index, number, batch)
        if compute.role.index in group(self.config, 0):  # other groups of the replica meet the same images
            for message in self.images.newly_skipped():
                self.soon(partial(self.log, Warned(message)))
        labels = None if batch.labels is None else jnp.asarray(batch.labels)
        return batch_last(jnp.asarray(batch.images)), labels, as_targets(batch.targets), number

    def _diverged(
        self, compute: do.Compute, number: int, objectives: tuple[str, ...], gradients: tuple[str, ...]
    ) -> Diverged:
        return Diverged(number + 1, compute.update.slot, compute.role.index, objectives, gradients)

    def _report_step(
        self, compute: do.Compute, terms: Any, seconds: float, loaded: float, talk: Talk
    ) -> None:
        """Publish a step: its seconds, and those of them that it waited for images (`loaded`)."""
        role, update = compute.role, compute.update
        computed = TileComputed(
            replica=role.slot,
            generation=compute.generation,
            slot=update.slot,
            number=update.number,
            index=compute.index,
            batch=compute.batch,
            tile=role.index,
            terms={path: float(value) for path, value in terms.items()},
            seconds=round(seconds, 6),
            waited=round(loaded + talk.exchanged, 6),
            exchanged=round(talk.exchanged, 6),
            bytes=talk.sent,
            images=f"{talk.images:016x}",
            read=self.images.newly_read() if role.index in group(self.config, 0) else (),
        )

        def report() -> None:
            self.log(replace(computed, traffic=self.traffic.pop((role.slot, role.index), 0)))

        self.soon(report)

    def performers(self) -> dict[type, Callable[..., None]]:
        """Return the handler of each instruction."""
        return {
            do.LoadParams: self._load_params,
            do.Compute: self._compute,
            do.Cancel: self._cancel,
        }
