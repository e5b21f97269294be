"""The validations of a process's tiles: performs the protocol's instructions about them.

Every tile decodes all images itself, and computes on its window of them; they exchange what they do in a step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from lnet.compiler.cut.schedule import Programme
from lnet.compiler.cut.shards import shard_places
from lnet.compiler.graph.graph import Graph
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol import events
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.validations import ValidatedPart, WrittenParams
from lnet.runtime.cluster.transport.inbox import Cancelled
from lnet.runtime.data import Batch, Dataset, feed, skipped
from lnet.runtime.data.dataset import CACHE_BYTES
from lnet.runtime.data.given_arrays import kept_arrays
from lnet.runtime.data.in_memory import kept_at
from lnet.runtime.data.inventory import other_images
from lnet.runtime.engine.evaluate import as_targets, batch_last
from lnet.runtime.engine.shard import Shard
from lnet.runtime.store.events import Event, Warned
from lnet.runtime.store.shards import save_shard
from lnet.runtime.training.validation import InOrder, open_validation, over_images

from .numerics import Replica, as_numpy
from .talk import Talk
from .threads import waiting
from .tiles import Tiles
from .windows import window_of, with_targets


class Validating:
    """`log` publishes an event, from whatever thread."""

    def __init__(self, config: RunConfig, tiles: Tiles, log: Callable[[Event], None]) -> None:
        self.config, self.tiles, self.log = config, tiles, log
        self.shards: dict[int, Shard] = {}
        self.told = 0

    @cached_property
    def graph(self) -> Graph:
        graph = self.config.plan.graph.validated
        assert graph is not None, "a run without a validation orders none"
        return graph

    @cached_property
    def images(self) -> Dataset:
        """What the run is validated on; raises `LnetError`."""
        found = opened(self.config, self.graph)
        found.with_targets = False  # a tile reads its own regions of them
        return found

    def check(self) -> None:
        """Raise `LnetError` unless what is validated here is what the command validates on."""
        known = self.config.validation
        if known is None:
            return
        found = self.images
        if (known.images, known.digest) != (found.count, found.inventory.digest):
            now = f"{found.count:,}" if found.count != known.images else "others"
            raise other_images(f"the run is validated on {known.images:,} images, and here there are {now}")

    def shard(self, tile: int) -> Shard:
        """Return a tile of what is validated, which is compiled when it first computes."""
        if tile not in self.shards:
            self.shards.setdefault(tile, Shard(self.graph, self.config.plan.partition, tile))
        return self.shards[tile]

    def programme(self, tile: int) -> Programme:
        """Return the programme of a tile of what is validated."""
        return self.shard(tile).programme

    def _validate(self, validate: do.Validate) -> None:
        replica, cancelled = self.tiles.replica(validate.role), self.tiles.begin(validate)
        self.tiles.threads.submit(validate.role, lambda: self._found(validate, replica, cancelled))

    def _found(self, validate: do.Validate, replica: Replica, cancelled: threading.Event) -> tuple[Any, ...]:
        """Return what a tile finds, in the role's thread."""
        began, size = time.perf_counter(), self.graph.training.batch
        talk = Talk(validate, self.tiles.inbox, self.tiles.send, cancelled)
        steps = ceil(self.images.count / size)
        with feed(InOrder(self.images), 0, steps, size, cancelled.is_set) as batches:
            count, terms = over_images(self.graph, self._terms(validate, replica, talk, batches))
        if cancelled.is_set():
            raise Cancelled
        if not count:
            raise self.images.undecodable(self.images.count)
        seconds = round(time.perf_counter() - began, 6)
        return events.PartValidated, validate.role, ValidatedPart(validate.id, count, terms, seconds)

    def _terms(
        self, validate: do.Validate, replica: Replica, talk: Talk, batches: Iterator[Batch | None]
    ) -> Iterator[tuple[int, Mapping[str, float]]]:
        """Yield the number of images and the tile's shares of the terms of each batch."""
        tile, place = validate.role.index, 0
        shard, done = self.shard(tile), jnp.asarray(validate.step)
        while True:
            with waiting():
                batch = next(batches, END)
            if isinstance(batch, _End):
                return
            if tile == 0:
                self._warn()
            if batch is not None:
                batch = with_targets(self.config, self.images, batch, tile)
                talk.begin(place, place, batch)
                labels = None if batch.labels is None else jnp.asarray(batch.labels)
                images = batch_last(jnp.asarray(window_of(self.config, batch.images, tile)))
                terms = talk.through(
                    shard.evaluation(replica.params, images, labels, as_targets(batch.targets), done)
                )
                yield len(batch.images), {path: float(value) for path, value in terms.items()}
            place += 1

    def _warn(self) -> None:
        for name, why in [*self.images.skipped.items()][self.told :]:
            self.told += 1
            self.log(Warned(skipped(name, why)))

    def _write(self, write: do.WriteParams) -> None:
        replica = self.tiles.replica(write.role)
        self.tiles.threads.submit(write.role, lambda: self._written(write, replica))

    def _written(self, write: do.WriteParams, replica: Replica) -> tuple[Any, ...]:
        """Write the parameters of a tile, those of each of its shards, in the role's thread; raises `TakenOver`."""
        try:
            with waiting():
                digests = tuple(
                    self._save(write.id, shard, params)
                    for shard, params in zip(
                        self.config.spec.shards_of(write.role.index),
                        replica.parts.divided(replica.params),
                        strict=True,
                    )
                )
        except OSError as error:
            return events.ParamsWritten, write.role, write.id, WrittenParams((), str(error))
        return events.ParamsWritten, write.role, write.id, WrittenParams(digests)

    def _save(self, id: int, shard: int, params: Mapping[str, jax.Array]) -> str:
        config = self.config
        places = shard_places(config.plan.graph, config.plan.partition, shard)
        return save_shard(config.best.path, config.owner, id, shard, places, as_numpy(params), {})

    def performers(self) -> dict[type, Callable[..., None]]:
        """Return the handler of each instruction."""
        return {
            do.Validate: self._validate,
            do.WriteParams: self._write,
        }


class _End:
    """No more batches: None is one of which no image can be decoded."""


END = _End()


def opened(config: RunConfig, graph: Graph) -> Dataset:
    """Return what a run is validated on; raises `LnetError`."""
    known = config.validation
    assert known is not None, "a run without a validation opens none"
    given = None
    if known.array is not None:
        path = Path(known.array)
        given = kept_at(path, known.prepared) if graph.arrays is None else kept_arrays(path, graph.arrays)
    kept = replace(config.kept, index=None)
    return open_validation(graph, given, Path(config.base), CACHE_BYTES // 4, kept)
