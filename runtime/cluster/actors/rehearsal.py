"""A process without a tile compiles what tiles and their servers compute, so that it computes soon when it gets one.

    it joins               a step of each tile that the plan gives it: it has come back, or waits for other workers
    no tile for a while    a step of every tile, and updates of its parameters, for the machine's cache (process/cache.py)
    a tile comes           no more

A batch of a validation goes with each step. All of it is computed with zeros. Nearly every tile has programs of its own,
since layers of different sizes are cut at different places. Processes of one machine begin with different tiles, and find
in the cache what others have compiled.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from lnet.compiler.core.shapes import shape_at
from lnet.compiler.cut.decoding import image_window
from lnet.compiler.cut.schedule import Programme
from lnet.compiler.graph.graph import Graph
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.room import SHARE
from lnet.runtime.engine import clipping
from lnet.runtime.engine.evaluate import batch_last
from lnet.runtime.engine.exchanges import Exchanges, exchanges
from lnet.runtime.engine.shard import Receive, Send, Shard
from lnet.runtime.process.cache import cache_folder
from lnet.runtime.process.compilations import compilations
from lnet.runtime.store.events import CompiledAhead, Event, Warned

from .numerics import Arrays, Replica, Server, finite, pushed_shapes, shard_shapes
from .threads import waiting
from .tiles import Tiles

T = TypeVar("T")
ROLE = RoleId("rehearsal", 0, 0, 0)
"""Whose thread it runs in; the coordinator gives no such role."""


class Rehearsal:
    """What a process called `name` compiles while it is `idle`: has no tile, and never had one.

    `validated` returns what a tile validates with.

    `free` returns the bytes of memory that are left, `log` publishes an event; both are called from its thread. Once
    `leaving` is set, it waits no more.
    """

    def __init__(
        self,
        config: RunConfig,
        name: str,
        tiles: Tiles,
        validated: Callable[[int], Shard],
        idle: Callable[[], bool],
        free: Callable[[], int],
        log: Callable[[Event], None],
    ) -> None:
        self.config, self.name, self.tiles, self.validated = config, name, tiles, validated
        self.idle, self.free, self.log = idle, free, log
        self.leaving = threading.Event()

    def go(self) -> None:
        """Compile the tiles of the plan at once, all others after a while."""
        try:
            with self.tiles.rehearsing:
                count, seconds = self._counted(rehearse_own, self.tiles.shard, self.validated)
            with waiting():
                self.leaving.wait(self.config.times.failure_timeout)
            if self.idle() and cache_folder() is not None:
                more, longer = self._counted(rehearse)
                count, seconds = count + more, seconds + longer
        except Exception as error:  # what nobody needs yet ends no run
            self.log(Warned(f"{self.name} could not compile ahead: {error}"))
            return
        if self.idle() or (count and not self.leaving.is_set()):
            self.log(CompiledAhead(count, round(seconds, 3)))

    def _counted(self, rehearsal: Callable[..., None], *arguments: Any) -> tuple[int, float]:
        """Return how many programs a rehearsal compiles, and the seconds that it takes."""
        before, began = compilations(), time.monotonic()
        rehearsal(self.config, self.name, *arguments, self._fits, self.idle)
        return compilations() - before, time.monotonic() - began

    def _fits(self, tile: int) -> bool:
        """Whether the memory that is left holds a tile."""
        needs = self.config.spec.needs
        return not needs or needs[tile].tile <= SHARE * self.free()


def rehearse_own(
    config: RunConfig,
    name: str,
    shard: Callable[[int], Shard],
    validated: Callable[[int], Shard],
    fits: Callable[[int], bool],
    going: Callable[[], bool],
) -> None:
    """Compute a step of each tile that the plan gives the process `name`, with the `shard` that it will compute with.

    Then a batch of a validation, with the `validated` one. Only tiles that fit into memory, and as long as it is `going`.
    """
    for tile in sorted({tile for (_, tile), place in config.spec.places.items() if place == name}):
        if going() and fits(tile):
            _step(config, shard(tile), going)
            if config.plan.graph.validated is not None:
                _evaluation(config, config.plan.graph.validated, validated(tile), going)


def rehearse(config: RunConfig, name: str, fits: Callable[[int], bool], going: Callable[[], bool]) -> None:
    """Compile what each tile and its servers compute, if the tile `fits` into memory, as long as it is `going`.

    `name`: of the process.
    """
    graph, tiles = config.plan.graph, config.plan.partition.count
    first = zlib.crc32(name.encode()) % tiles
    for tile in (*range(first, tiles), *range(first)):
        if not going():
            return
        if fits(tile):
            _step(config, Shard(graph, config.plan.partition, tile), going)
            _updates(config, tile, going)
            if graph.validated is not None:
                shard = Shard(graph.validated, config.plan.partition, tile)
                _evaluation(config, graph.validated, shard, going)


def _step(config: RunConfig, shard: Shard, going: Callable[[], bool]) -> None:
    """Compute all that a tile computes in a run, with zeros for parameters, images and what other tiles send."""
    graph, programme, replica = config.plan.graph, shard.programme, Replica(config, shard)
    dtype = graph.training.dtype
    replica.install(replica.parts.divided(_params(graph, programme)))
    step = replica.step(*_batch(config, graph, programme), 0, 0)
    received = dict(exchanges(graph, config.plan.partition, programme, graph.training.batch_rows))
    if config.clips_pushes:
        received |= clipping.exchanged(graph, programme.tile, config.spec.tiles)
    talk = _Alone(received, dtype, going)
    found = talk.through(step)
    if found is None:
        return
    gradients, terms = found
    if graph.training.accumulate > 1:
        gradients, terms = replica.averaged(replica.summed(found, found))
    finite(gradients, terms)
    pushes, onward = config.spec.push, config.spec.fetch > 1
    for index in range(min(2, pushes)):
        last = index + 1 == min(2, pushes)
        talk.through(replica.add(gradients, index, first=index == 0, last=last, onward=onward))


def _evaluation(config: RunConfig, graph: Graph, shard: Shard, going: Callable[[], bool]) -> None:
    """Compute what a tile computes in a validation of a graph, with zeros."""
    programme, training = shard.programme, graph.training
    params = {name: jnp.asarray(value) for name, value in _params(graph, programme).items()}
    received = exchanges(graph, config.plan.partition, programme, training.batch_rows)
    talk = _Alone(received, training.dtype, going)
    talk.through(shard.evaluation(params, *_batch(config, graph, programme), jnp.asarray(0)))


def _params(graph: Graph, programme: Programme) -> Arrays:
    shapes = {parameter.name: parameter.shape for parameter in graph.parameters}
    return {
        name: np.zeros(shape_at(shapes[name], place), graph.training.dtype) for name, place in programme.owned
    }


def _batch(
    config: RunConfig, graph: Graph, programme: Programme
) -> tuple[jax.Array, jax.Array | None, dict[str, jax.Array]]:
    """Return images, labels and targets of a tile, all zeros."""
    rows, dtype = graph.training.batch_rows, graph.training.dtype
    window = image_window(graph, config.plan.partition, programme.tile).size
    images = _zeros((rows, window.rows, window.columns, graph.input.sheet.maps), dtype)
    labelled = any(objective.term.needs_labels for objective in graph.objectives)
    targets = {
        path: _zeros((region.size.rows, region.size.columns, graph.layer(path).sheet.maps, rows), dtype)
        for path, region in programme.targets
    }
    return batch_last(images), _zeros((rows,), "int32") if labelled else None, targets


@dataclass
class _Alone:
    """Answers messages between tiles with zeros, as long as it is `going`."""

    received: Exchanges
    dtype: str
    going: Callable[[], bool]

    def through(self, talk: Generator[Send | Receive, Any, T]) -> T | None:
        """Return what a generator of messages returns, None if it was given up."""
        answer = None
        while self.going():
            try:
                want = talk.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(want, Send):
                answer = None
            else:
                answer = [_zeros(shape, self.dtype) for shape in self.received[want.sender, want.exchange]]
        return None


def _updates(config: RunConfig, tile: int, going: Callable[[], bool]) -> None:
    """Compute the updates of a tile's shards: the first, and one that takes the memory of another."""
    parts, dtype = config.spec.replicas if config.spec.synchronous else 1, config.plan.graph.training.dtype
    for shard in config.spec.shards_of(tile):
        server, shapes = Server(config, shard), shard_shapes(config, shard)
        pushed = pushed_shapes(config, shard).items()
        zeros = {name: np.zeros(shape, dtype) for name, shape in pushed}
        server.params = {name: _zeros(shape, dtype) for name, shape in shapes.items()}
        server.state = server.rule.init(server.params)
        server.install(*server.snapshot())
        for _ in range(3):
            if going():
                norms = server.measure([zeros] * parts, 0) if config.spec.norms else ()
                server.apply([zeros] * parts, 1, norms)
        server.snapshot()


def _zeros(shape: tuple[int, ...], dtype: str) -> jax.Array:
    """Return zeros that come from outside of JAX, as images and messages do: that compiles a program, too."""
    return jnp.asarray(np.zeros(shape, dtype))
