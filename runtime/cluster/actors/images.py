"""Batches by number, whole or a part of each, decoded ahead of their use in every process that needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.data import Batch, Dataset, skipped
from lnet.runtime.data.given_arrays import kept_arrays
from lnet.runtime.data.in_memory import kept_at
from lnet.runtime.data.indexes import Indexing
from lnet.runtime.data.open_data import open_data

AHEAD = 3
"""Batches that are decoded for a role: the one that it computes, and the next ones."""


@dataclass(frozen=True, slots=True)
class Part:
    """The images `first`, `first + every`, ... of a batch."""

    first: int = 0
    every: int = 1

    def of(self, batch: int) -> range:
        """Return the numbers of the images in a batch of so many."""
        return range(self.first, batch, self.every)

    def rows(self, batch: int, views: int) -> list[int]:
        """Return the rows of the images in a batch of so many, each in so many views."""
        return [image * views + view for image in self.of(batch) for view in range(views)]


WHOLE = Part()


def opened(config: RunConfig) -> Dataset:
    """Return the images of a run; raises `LnetError`."""
    found = _opened(config)
    found.with_targets = False  # a tile reads its own regions of them
    return found


def _opened(config: RunConfig) -> Dataset:
    graph, base = config.plan.graph, Path(config.base)
    if config.array is not None and graph.arrays is not None:
        return kept_arrays(Path(config.array), graph.arrays).open(graph, base, config.kept)
    if config.array is not None:
        return kept_at(Path(config.array), config.prepared).open(graph, base, config.kept)
    assert graph.training.data is not None, "launch: a run without images is refused"
    return open_data(
        graph.training.data, graph, base, kept=config.kept, indexing=partial(Indexing, worker=True)
    )


class Images:
    """The images of a run: batch number k holds the same samples of the global order wherever it is asked for."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.expected: dict[RoleId, tuple[Part, list[int]]] = {}
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lnet-decode")
        self.kept: dict[tuple[int, Part], Future[Batch]] = {}
        self.told: set[str] = set()
        self.lock = threading.Lock()

    @cached_property
    def dataset(self) -> Dataset:
        return opened(self.config)

    def open(self, then: Callable[[], None]) -> Future[tuple[str, ...]]:
        """Open the images ahead of their use, `then` others.

        The result is notes on what could not be compared, or `LnetError`.
        """
        return self.pool.submit(self._open, then)

    def _open(self, then: Callable[[], None]) -> tuple[str, ...]:
        notes = () if self.config.expected is None else self.config.expected.check(self.dataset)
        then()
        return notes

    def expect(self, role: RoleId, numbers: Iterable[int], part: Part = WHOLE) -> dict[int, Future[Batch]]:
        """Begin to decode a part of the batches that a role needs next, and drop those that no role needs any more."""
        with self.lock:
            found = {number: self._future(number, part) for number in islice(numbers, AHEAD)}
            self.expected[role] = part, list(found)
            self._drop()
        return found

    def forget(self, role: RoleId) -> None:
        """Drop what a role alone needed."""
        with self.lock:
            self.expected.pop(role, None)
            self._drop()

    def batch(self, number: int, part: Part = WHOLE) -> Batch:
        """Return a part of a batch; raises the error of reading it."""
        with self.lock:
            future = self._future(number, part)
        return future.result()

    def newly_skipped(self) -> list[str]:
        """Return notes on corrupt images met since the last call."""
        with self.lock:
            found = {name: why for name, why in self.dataset.skipped.items() if name not in self.told}
            self.told.update(found)
        return [skipped(name, why) for name, why in found.items()]

    def newly_read(self) -> tuple[tuple[int, int], ...]:
        """Return number and checksum of each image that was read here for the first time since the last call."""
        return tuple(self.dataset.checksums.take_fresh())

    def _future(self, number: int, part: Part) -> Future[Batch]:
        if (number, part) not in self.kept:
            self.kept[number, part] = self.pool.submit(self._decode, number, part)
        return self.kept[number, part]

    def _drop(self) -> None:
        needed = {(number, part) for part, numbers in self.expected.values() for number in numbers}
        for key in self.kept.keys() - needed:
            self.kept.pop(key).cancel()

    def _decode(self, number: int, part: Part) -> Batch:
        training = self.config.plan.graph.training
        count = len(part.of(training.batch))
        return self.dataset.batch(training.first_image(number) + part.first, count, part.every)

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
