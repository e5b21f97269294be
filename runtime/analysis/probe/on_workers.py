"""The images of a labelled set, shown to a subject by the workers of a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, TypeVar

from .passes import Pass
from .subjects import Subject
from .sweep import Gallery, look_at, shares

T = TypeVar("T")


class Workers(Protocol):
    """What is used here of a Dask cluster: methods of `distributed.Client`."""

    def scatter(self, data: Any, *, broadcast: bool, hash: bool) -> Any: ...

    def submit(self, function: Any, *arguments: Any, pure: bool) -> Any: ...

    def nthreads(self) -> Mapping[str, int]: ...


@dataclass(frozen=True)
class ClusterSweep:
    """On all workers, which see the run and the images under the same paths, `batch` images at a time.

    No more than two shares for each worker are under way, so that results do not pile up; they are joined in the order
    of the images. What a worker has not finished when it dies, another one does.
    """

    gallery: Gallery
    batch: int
    client: Workers

    def run(self, subject: Subject, look: Pass[T]) -> T:
        """Return the result of a pass."""
        return reduce(look.join, self._results(subject, look))

    def _results(self, subject: Subject, look: Pass[T]) -> Iterator[T]:
        common = [
            self.client.scatter(part, broadcast=True, hash=False) for part in (self.gallery, subject, look)
        ]
        waiting: deque[Any] = deque()
        for share in shares(self.gallery, self.batch):
            waiting.append(self.client.submit(look_at, *common, self.batch, share, pure=False))
            if len(waiting) > 2 * len(self.client.nthreads()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
