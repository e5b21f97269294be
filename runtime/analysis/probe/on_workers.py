"""Statistics over a labelled set, evaluated by the workers of a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol, TypeVar

from .evaluate import Evaluator, Gallery, LocalEvaluator, evaluate_share, shares
from .passes import Statistic
from .subjects import Subject

T = TypeVar("T")


class Workers(Protocol):
    """The methods of `distributed.Client` used here."""

    def scatter(self, data: Any, *, broadcast: bool, hash: bool) -> Any: ...

    def submit(self, function: Any, *arguments: Any, pure: bool) -> Any: ...

    def nthreads(self) -> Mapping[str, int]: ...


@dataclass(frozen=True)
class ClusterEvaluator:
    """Evaluates on all workers, `batch` images at a time; they see the run and the images under the same paths.

    At most two shares per worker are under way, so that results do not pile up; they are merged in the order of the images.
    The unfinished shares of a dead worker are evaluated by another one.
    """

    gallery: Gallery
    batch: int
    client: Workers

    def evaluate(self, subject: Subject, statistic: Statistic[T]) -> T:
        """Return the statistic of the subject's responses to all images."""
        return reduce(statistic.merge, self._results(subject, statistic))

    def _results(self, subject: Subject, statistic: Statistic[T]) -> Iterator[T]:
        common = [
            self.client.scatter(part, broadcast=True, hash=False)
            for part in (self.gallery, subject, statistic)
        ]
        waiting: deque[Any] = deque()
        for share in shares(self.gallery, self.batch):
            waiting.append(self.client.submit(evaluate_share, *common, self.batch, share, pure=False))
            if len(waiting) > 2 * len(self.client.nthreads()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def evaluator_of(gallery: Gallery, batch: int, client: Workers | None) -> Evaluator:
    """Return what evaluates on a cluster's workers, or without a client in this process."""
    return LocalEvaluator(gallery, batch) if client is None else ClusterEvaluator(gallery, batch, client)
