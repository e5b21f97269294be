"""The images of a labelled set, shown to a subject by the workers of a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

from distributed import Client, Future

from lnet.runtime.analysis.probe.passes import Pass
from lnet.runtime.analysis.probe.subjects import Subject
from lnet.runtime.analysis.probe.sweep import Gallery, look_at, shares

T = TypeVar("T")


@dataclass(frozen=True)
class ClusterSweep:
    """On all workers, which see the run and the images under the same paths, `batch` images at a time.

    No more than two shares for each worker are under way, so that results do not pile up; they are joined in the order
    of the images. What a worker has not finished when it dies, another one does.
    """

    gallery: Gallery
    batch: int
    client: Client

    def run(self, subject: Subject, look: Pass[T]) -> T:
        """Return the result of a pass."""
        return reduce(look.join, self._results(subject, look))

    def _results(self, subject: Subject, look: Pass[T]) -> Iterator[T]:
        common = [
            self.client.scatter(part, broadcast=True, hash=False) for part in (self.gallery, subject, look)
        ]
        waiting: deque[Future[T]] = deque()
        for share in shares(self.gallery, self.batch):
            waiting.append(self.client.submit(look_at, *common, self.batch, share, pure=False))
            if len(waiting) > 2 * len(self.client.nthreads()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
