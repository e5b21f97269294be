"""Batches decoded ahead in the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
Made = TypeVar("Made", covariant=True)

AHEAD = 3
"""Number of batches decoded ahead."""


class Batches(Protocol[Made]):
    """Anything with samples by number."""

    def batch(self, first: int, count: int) -> Made:
        """Return samples `first` to `first + count`."""


@contextmanager
def feed(
    dataset: Batches[T],
    first_step: int,
    steps: int,
    batch: int,
    stopped: Callable[[], bool] = lambda: False,
    ahead: int = 0,
) -> Iterator[Iterator[T]]:
    """Yield the batches of steps `first_step` to `steps`, decoded ahead by two threads; they begin `ahead` samples later.

    Ends once `stopped()`, without waiting for batches under way. Errors while decoding are raised where the batch is
    taken.
    """
    pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="lnet-decode")
    try:
        firsts = (max(0, step * batch + ahead) for step in range(first_step, steps))
        yield _taken(_decoding(pool, dataset, firsts, batch), stopped)
    finally:
        pool.shutdown(wait=not stopped(), cancel_futures=True)


def _decoding(
    pool: ThreadPoolExecutor, dataset: Batches[T], firsts: Iterable[int], batch: int
) -> Iterator[Future[T]]:
    waiting: deque[Future[T]] = deque()
    for first in firsts:
        waiting.append(pool.submit(dataset.batch, first, batch))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _taken(decoding: Iterator[Future[T]], stopped: Callable[[], bool]) -> Iterator[T]:
    for future in decoding:
        while not future.done():
            if stopped():
                return
            wait([future], timeout=0.1)
        yield future.result()
