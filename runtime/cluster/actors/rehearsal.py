"""A process without a tile compiles what tiles and their servers compute, so that it computes soon when it gets one.

    it joins ------------> a step of the tiles that the plan gives it, with zeros: it comes back, or waits for others
    no tile for a while -> a step of each tile, and updates of its parameters -----> the machine's cache (process/cache.py)
                           a tile comes: no more

Nearly every tile has programs of its own: layers of other sizes are cut at other places. Processes of one machine begin with
other tiles, and find what others have compiled.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from lnet.compiler.core.shapes import shape_at
from lnet.compiler.cut.decoding import image_window
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.engine.evaluate import batch_last
from lnet.runtime.engine.exchanges import exchanges
from lnet.runtime.engine.shard import Send, Shard

from .numerics import Replica, Server, finite, shard_shapes


def rehearse_own(
    config: RunConfig,
    name: str,
    shard: Callable[[int], Shard],
    fits: Callable[[int], bool],
    going: Callable[[], bool],
) -> None:
    """Compute a step of each tile that the plan gives the process `name`, as `rehearse` does: with its own `shard`."""
    for tile in sorted({tile for (_, tile), place in config.spec.places.items() if place == name}):
        if going() and fits(tile):
            _step(config, shard(tile), going)


def rehearse(config: RunConfig, name: str, fits: Callable[[int], bool], going: Callable[[], bool]) -> None:
    """Compile what each tile and its servers compute, if the tile `fits` into memory, as long as it is `going`.

    `name`: of the process.
    """
    tiles = config.plan.partition.count
    first = zlib.crc32(name.encode()) % tiles
    for tile in (*range(first, tiles), *range(first)):
        if not going():
            return
        if fits(tile):
            _step(config, Shard(config.plan.graph, config.plan.partition, tile), going)
            _updates(config, tile, going)


def _step(config: RunConfig, shard: Shard, going: Callable[[], bool]) -> None:
    """Compute all that a tile computes in a run, with zeros for parameters, images and what other tiles send."""
    graph, programme, replica = config.plan.graph, shard.programme, Replica(config, shard)
    shapes = {parameter.name: parameter.shape for parameter in graph.parameters}
    zeros = {name: np.zeros(shape_at(shapes[name], place), np.float32) for name, place in programme.owned}
    replica.install(replica.parts.divided(zeros))
    batch, window = graph.training.batch, image_window(graph, config.plan.partition, programme.tile).size
    images = _zeros((batch, window.rows, window.columns, graph.input.sheet.maps))
    labelled = any(objective.term.needs_labels for objective in graph.objectives)
    step = replica.step(batch_last(images), _zeros((batch,), np.int32) if labelled else None)
    received = exchanges(graph, config.plan.partition, programme, batch)
    answer = None
    while going():
        try:
            want = step.send(answer)
        except StopIteration as end:
            gradients, terms = end.value
            finite(gradients, terms)
            for index in range(min(2, config.spec.push)):
                replica.add(gradients, first=index == 0, onward=config.spec.fetch > 1)
            replica.take()
            return
        if isinstance(want, Send):
            answer = None
        else:
            answer = [_zeros(shape) for shape in received[want.sender, want.exchange]]


def _updates(config: RunConfig, tile: int, going: Callable[[], bool]) -> None:
    """Compute the updates of a tile's shards: the first, and one that takes the memory of another."""
    parts = config.spec.replicas if config.spec.synchronous else 1
    for shard in config.spec.shards_of(tile):
        server, shapes = Server(config, shard), shard_shapes(config, shard)
        zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        server.params = {name: _zeros(shape) for name, shape in shapes.items()}
        server.state = server.rule.init(server.params)
        server.install(*server.snapshot())
        for _ in range(3):
            if going():
                server.apply([zeros] * parts, 1)
        server.snapshot()


def _zeros(shape: tuple[int, ...], kind: type = np.float32) -> jax.Array:
    """Return zeros that come from outside of JAX, as images and messages do: that compiles a program, too."""
    return jnp.asarray(np.zeros(shape, kind))
