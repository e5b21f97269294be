"""Batches decoded in the background, so that the kernels never wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
Made = TypeVar("Made", covariant=True)

AHEAD = 3
"""How many batches are decoded before they are asked for."""


class Batches(Protocol[Made]):
    """Whatever has samples by number."""

    def batch(self, first: int, count: int) -> Made:
        """Return samples `first` to `first + count`."""


@contextmanager
def feed(dataset: Batches[T], first_step: int, steps: int, batch: int) -> Iterator[Iterator[T]]:
    """Give the batches of steps `first_step` to `steps`, decoded ahead by two threads.

    What goes wrong while decoding is raised where the batch is taken.
    """
    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="lnet-decode")
    try:
        yield _batches(pool, dataset, range(first_step * batch, steps * batch, batch), batch)
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(pool: ThreadPoolExecutor, dataset: Batches[T], firsts: range, batch: int) -> Iterator[T]:
    waiting: deque[Future[T]] = deque()
    for first in firsts:
        waiting.append(pool.submit(dataset.batch, first, batch))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
