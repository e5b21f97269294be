"""The window of a batch that a tile computes with: cut from images that it decodes, or put together from those of others.

    decode thread   decode its part of batch k --> cut the windows of the group's other tiles --> send them
    tile's thread   its own window of its part, and those that come from the others  -->  the window of all images

Parts are decoded and sent ahead, so that they are there when the step begins. They belong to a batch in a generation:
whatever is lost is sent again in the next one. The numbers are those of decoding everything (cut/decoding.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.cut.decoding import group_of, image_window
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.instructions import Compute
from lnet.runtime.cluster.transport.inbox import Address, Mailbox
from lnet.runtime.data import Batch, Dataset

from .images import Images, Part
from .numerics import Differs

EXCHANGE = "images"
"""What messages call windows."""
ArraySpec = tuple[tuple[int, ...], np.dtype[Any]]
Send = Callable[[RoleId, str, Address, list[Any]], None]


def group(config: RunConfig, tile: int) -> range:
    """Return the tiles that decode images together with one, itself included."""
    return group_of(tile, config.spec.tiles) if config.shared else range(tile, tile + 1)


def part(config: RunConfig, tile: int) -> Part:
    """Return the part of each batch that a tile decodes."""
    tiles = group(config, tile)
    return Part(tile - tiles.start, len(tiles))


def expected(config: RunConfig, sender: int, receiver: int) -> tuple[ArraySpec, ...] | None:
    """Return shapes and types of the arrays of windows that one tile sends another, None if it sends none.

    Windows `[n, row, column, channel]` of all views of its images; a record `[n, 4]` of each: halves of the place in the
    data set and of the checksum.
    """
    graph, training = config.plan.graph, config.plan.graph.training
    if sender == receiver or sender not in group(config, receiver):
        return None
    count = len(part(config, sender).rows(training.batch, training.views))
    if not count:
        return None
    window = image_window(graph, config.plan.partition, receiver).size
    shape = (count, window.rows, window.columns, graph.input.sheet.maps)
    return (shape, np.dtype(training.dtype)), ((count, 4), np.dtype(np.uint32))


def differs(role: RoleId, number: int, other: int, batch: Batch) -> Differs:
    """Return the error of a tile whose images, those of a batch, are not those of another tile."""
    checksums = [] if batch.checksums is None else batch.checksums.tolist()
    hexes = tuple(f"{found:016x}" for found in checksums)
    return Differs(role.slot, number, role.index, other, tuple(batch.names), hexes)


class Windows:
    """`send` sends a role's arrays to a process, from whatever thread."""

    def __init__(self, config: RunConfig, images: Images, inbox: Mailbox, send: Send) -> None:
        self.config, self.images, self.inbox, self.send = config, images, inbox, send
        self.ahead: dict[RoleId, set[tuple[int, int]]] = {}

    def expect(self, compute: Compute, numbers: Iterable[int]) -> None:
        """Begin to decode, and to send, a tile's part of the batches that it needs: the first is computed now."""
        role, mine = compute.role, part(self.config, compute.role.index)
        if not mine.of(self.config.plan.graph.training.batch):
            return
        decoding = self.images.expect(role, numbers, mine)
        if mine.every > 1:
            sent = self.ahead.get(role, set())
            for number, batch in decoding.items():
                if (compute.generation, number) not in sent:
                    self.images.pool.submit(self._send, compute, number, batch)
            self.ahead[role] = {(compute.generation, number) for number in list(decoding)[1:]}

    def cancel(self, role: RoleId) -> None:
        """Send again what was sent ahead: it may have been thrown away."""
        self.ahead.pop(role, None)

    def forget(self, role: RoleId) -> None:
        """Drop what a role alone needed."""
        self.cancel(role)
        self.images.forget(role)

    def take(self, compute: Compute, number: int, cancelled: Callable[[], bool]) -> Batch:
        """Return the window of a batch of a step, with its regions of the targets.

        Raises `Cancelled`, `Differs`, and the error of reading them.
        """
        batch = self._images(compute, number, cancelled)
        return with_targets(self.config, self.images.dataset, batch, compute.role.index)

    def _images(self, compute: Compute, number: int, cancelled: Callable[[], bool]) -> Batch:
        tile, tiles = compute.role.index, group(self.config, compute.role.index)
        if len(tiles) == 1:
            whole = self.images.batch(number)
            return replace(whole, images=window_of(self.config, whole.images, tile))
        graph, training = self.config.plan.graph, self.config.plan.graph.training
        window = image_window(graph, self.config.plan.partition, tile).size
        shape = (training.batch_rows, window.rows, window.columns, graph.input.sheet.maps)
        images, records = np.empty(shape, training.dtype), np.empty((training.batch_rows, 4), np.uint32)
        for other in tiles:
            rows = part(self.config, other).rows(training.batch, training.views)
            if other == tile and rows:
                own = self.images.batch(number, part(self.config, tile))
                images[rows], records[rows] = window_of(self.config, own.images, tile), _record(own)
            elif rows:
                found = self.inbox.take(self._address(compute, number, other, tile), cancelled)
                images[rows], records[rows] = found
        places, checksums = records.view(np.uint64).T
        batch = self.images.dataset.met(images, places.astype(np.int64), checksums)
        for row in np.flatnonzero(batch.checksums != checksums).tolist():
            raise differs(compute.role, number, tiles[row // training.views % len(tiles)], batch)
        return batch

    def _send(self, compute: Compute, number: int, decoded: Future[Batch]) -> None:
        """Send the windows of a part to the other tiles of the group, in the thread that has just decoded it."""
        if (
            decoded.cancelled() or decoded.exception() is not None
        ):  # nobody needs it, or the tile's own step says why
            return
        role, batch = compute.role, decoded.result()
        record = _record(batch)
        for tile in group(self.config, role.index):
            if tile != role.index:
                window = np.ascontiguousarray(window_of(self.config, batch.images, tile))
                address = self._address(compute, number, role.index, tile)
                self.send(role, compute.peers[tile], address, [window, record])

    def _address(self, compute: Compute, batch: int, sender: int, receiver: int) -> Address:
        return Address(compute.role.slot, compute.generation, batch, 0, EXCHANGE, sender, receiver)


def window_of(config: RunConfig, images: NDArray[np.floating], tile: int) -> NDArray[np.floating]:
    """Return a tile's window of images."""
    window = image_window(config.plan.graph, config.plan.partition, tile)
    rows, columns = window.rows, window.columns
    return images[:, rows.start : rows.stop, columns.start : columns.stop]


def with_targets(config: RunConfig, images: Dataset, batch: Batch, tile: int) -> Batch:
    """Return a batch of some images with a tile's regions of the targets."""
    graph = config.plan.graph
    if not graph.targets:
        return batch
    assert batch.places is not None, "a data set knows where its images are"
    pieces = [config.plan.partition.piece(tile, layer.path) for layer in graph.targets]
    regions = {piece.layer: piece.held for piece in pieces}
    return replace(batch, targets=images.targets(batch.places.tolist(), regions))


def _record(batch: Batch) -> NDArray[np.uint32]:
    assert batch.places is not None, "a data set knows where its images are"
    assert batch.checksums is not None, "a data set knows the checksums of its images"
    return np.stack([batch.places.astype(np.uint64), batch.checksums], axis=1).view(np.uint32)
