"""The tiles of a process: performs the protocol's instructions about steps, and exchanges arrays with other tiles."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax.numpy as jnp
import numpy as np

from lnet.compiler.cut.schedule import Programme
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol import events
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.messages import TileFence
from lnet.runtime.cluster.published import TileComputed
from lnet.runtime.cluster.transport.inbox import Address, Mailbox, OtherImages
from lnet.runtime.data import Batch
from lnet.runtime.engine.evaluate import as_targets, batch_last
from lnet.runtime.engine.shard import Receive, Shard
from lnet.runtime.engine.shard import Send as SendTile
from lnet.runtime.store.events import Event, Warned

from .images import Images
from .numerics import Diverged, Replica, finite, infinite
from .threads import Threads, waiting
from .windows import Windows, differs, group

SendArrays = Callable[[RoleId, str, Address, list[Any]], None]
"""Sends arrays for a role to a process; called on the event loop."""


class Tiles:
    """`soon` calls something on the event loop, `ahead` says which batches a role will need, `log` publishes an event."""

    def __init__(
        self,
        config: RunConfig,
        threads: Threads,
        log: Callable[[Event], None],
        soon: Callable[..., Any],
        outbox: SendArrays,
        ahead: Callable[[RoleId, int], Iterable[int]],
    ) -> None:
        self.config, self.threads, self.log, self.soon, self.outbox, self.ahead = (
            config,
            threads,
            log,
            soon,
            outbox,
            ahead,
        )
        self.inbox, self.images = Mailbox(), Images(config)
        self.windows = Windows(config, self.images, self.inbox, partial(soon, outbox))
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

    def _replica(self, role: RoleId) -> Replica:
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
        replica, parts = self._replica(load.role), cast(Sequence[Mapping[str, Any]], load.payloads)
        self.threads.submit(load.role, lambda: replica.install(parts))

    def _cancel(self, cancel: do.Cancel) -> None:
        self._give_up(cancel.role)
        if cancel.role in self.replicas:
            self.threads.submit(cancel.role, self.replicas[cancel.role].cancel)

    def _compute(self, compute: do.Compute) -> None:
        role, replica = compute.role, self._replica(compute.role)
        self.inbox.begin(role.slot, role.index, compute.generation)
        cancelled = self.cancelled.setdefault(role, threading.Event())
        self.windows.expect(compute, dict.fromkeys((compute.batch, *self.ahead(role, compute.batch))))
        self.threads.submit(role, lambda: self._step(compute, replica, cancelled))

    def _step(self, compute: do.Compute, replica: Replica, cancelled: threading.Event) -> tuple[Any, ...]:
        """Compute one step, in the role's thread."""
        if self.rehearsing.locked():  # what is being compiled is what this step needs
            with waiting(), self.rehearsing:
                pass
        began = time.perf_counter()
        with waiting():
            batch = self.windows.take(compute, cancelled.is_set)
        if compute.role.index in group(self.config, 0):  # other groups of the replica meet the same images
            for message in self.images.newly_skipped():
                self.soon(partial(self.log, Warned(message)))
        labels, images = None if batch.labels is None else jnp.asarray(batch.labels), batch.sum
        targets = as_targets(batch.targets)
        step = replica.step(batch_last(jnp.asarray(batch.images)), labels, targets, compute.batch)
        loaded, exchanged, sent, answer = time.perf_counter() - began, 0.0, 0, None
        while True:
            try:
                want = step.send(answer)
            except StopIteration as end:
                gradients, terms = end.value
                break
            if isinstance(want, SendTile):
                sent += self._send_arrays(compute, want, images)
                answer = None
            else:
                before = time.perf_counter()
                answer = self._receive_arrays(compute, want, batch, images, cancelled)
                exchanged += time.perf_counter() - before
        number = compute.update.number * self.config.spec.push + compute.index
        if not finite(gradients, terms):
            raise Diverged(
                number + 1, compute.update.slot, compute.role.index, infinite(terms), infinite(gradients)
            )
        replica.add(gradients, number, compute.first, compute.onward)
        seconds = time.perf_counter() - began
        self._report_step(compute, terms, seconds, loaded, exchanged, sent, images)
        return (
            events.Computed,
            compute.role,
            compute.update,
            compute.index,
            replica.take() if compute.last else (),
            seconds - loaded - exchanged,
        )

    def _address(
        self, compute: do.Compute, exchange: str, sender: int, receiver: int, images: int
    ) -> Address:
        slot, update = compute.role.slot, compute.update
        return Address(
            slot, compute.generation, update.number, compute.index, exchange, sender, receiver, images
        )

    def _send_arrays(self, compute: do.Compute, send: SendTile, images: int) -> int:
        arrays = [np.asarray(array) for array in send.arrays]
        address = self._address(compute, send.exchange, compute.role.index, send.receiver, images)
        to = compute.peers[send.receiver]
        self.soon(self.outbox, compute.role, to, address, arrays)
        return sum(array.nbytes for array in arrays)

    def _receive_arrays(
        self, compute: do.Compute, want: Receive, batch: Batch, images: int, cancelled: threading.Event
    ) -> Any:
        address = self._address(compute, want.exchange, want.sender, compute.role.index, images)
        try:
            with waiting():
                arrays = self.inbox.take(address, cancelled.is_set)
        except OtherImages as error:
            raise differs(compute, want.sender, batch) from error
        return [jnp.asarray(array) for array in arrays]

    def _report_step(
        self,
        compute: do.Compute,
        terms: Any,
        seconds: float,
        loaded: float,
        exchanged: float,
        sent: int,
        images: int,
    ) -> None:
        """Publish a step: its seconds, those waiting for images (`loaded`) and for other tiles (`exchanged`)."""
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
            waited=round(loaded + exchanged, 6),
            exchanged=round(exchanged, 6),
            bytes=sent,
            images=f"{images:016x}",
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
