"""Batches by number, decoded in every process that needs them, ahead of their turn."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from lnet.runtime.data import Batch, Dataset, open_frames
from lnet.runtime.data.arrays import ArrayDataset

from .brief import Brief

KEPT = 8
"""Batches that stay decoded: those of the replicas in this process, and the next ones."""


class Images:
    """The images of a run: batch number k holds the same samples of the global order wherever it is asked for."""

    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lnet-decode")
        self.kept: OrderedDict[int, Future[Batch]] = OrderedDict()
        self.lock = threading.Lock()

    @cached_property
    def dataset(self) -> Dataset | ArrayDataset:
        graph = self.brief.plan.graph
        if self.brief.array is not None:
            return ArrayDataset(
                np.load(self.brief.array, mmap_mode="r"), graph.input.sheet, graph.training.seed
            )
        assert graph.training.data is not None, "launch: a run without images is refused"
        return open_frames(
            graph.training.data, graph.input.sheet.maps, Path(self.brief.base), graph.training.seed
        )

    def expect(self, numbers: Iterable[int]) -> None:
        """Begin to decode batches."""
        for number in numbers:
            self._future(number)

    def batch(self, number: int) -> Batch:
        """Return a batch; raises what went wrong with its images."""
        return self._future(number).result()

    def _future(self, number: int) -> Future[Batch]:
        with self.lock:
            if number not in self.kept:
                self.kept[number] = self.pool.submit(self._decode, number)
                while len(self.kept) > KEPT:
                    self.kept.popitem(last=False)
            self.kept.move_to_end(number)
            return self.kept[number]

    def _decode(self, number: int) -> Batch:
        size = self.brief.plan.graph.training.batch
        return self.dataset.batch(number * size, size)

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
