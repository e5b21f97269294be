"""The time of a step from the seconds of each worker: a pure function, without a constant of its own.

A step is a row of stages. In each, every worker is busy for its own seconds, and the next one begins when the slowest
has ended (a bulk-synchronous program: Valiant 1990, "A bridging model for parallel computation"):

             kernels     halos       kernels    parameters
    worker 0 ========|   ===     |   ====    |  ==      |
    worker 1 =====   |   ========|   ========|  ========|
                     ^ all wait for the slowest

Nothing overlaps: a step that computes while messages are on their way is shorter than predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PARTS = ("kernels", "halos", "parameters", "images", "overhead")
"""kernels: arithmetic of the tiles. halos: messages between tiles of a replica, shared weights included. parameters:
updates, pushes, fetches, standbys. images: reading and decoding. overhead: what a step costs besides."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The seconds of each worker before all go on, and which of `PARTS` they are."""

    part: str
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of a step.

    `path`: seconds of each part at the slowest worker of every stage, which add up to the step; `spent`: seconds of each
    part by worker, of which the rest is waiting; `slowest`: the worker that spends most on each part.
    """

    seconds: float
    path: dict[str, float]
    spent: dict[str, tuple[float, ...]]
    slowest: dict[str, int]

    @property
    def bottleneck(self) -> str:
        """The part that takes most of the step."""
        return max(self.path, key=lambda part: self.path[part])

    def mean(self, part: str) -> float:
        """Seconds that a worker spends on a part on average."""
        return sum(self.spent[part]) / len(self.spent[part])

    @property
    def waiting(self) -> float:
        """Seconds that a worker waits for slower ones on average."""
        return self.seconds - sum(map(self.mean, self.path))


def step_time(stages: Sequence[Stage]) -> StepTime:
    """Return the time of a step of these stages, all of as many workers."""
    workers = range(len(stages[0].seconds))
    path = {part: sum(max(s.seconds) for s in stages if s.part == part) for part in PARTS}
    spent = {
        part: tuple(sum(s.seconds[worker] for s in stages if s.part == part) for worker in workers)
        for part in PARTS
    }
    slowest = {part: max(workers, key=seconds.__getitem__) for part, seconds in spent.items()}
    return StepTime(sum(path.values()), path, spent, slowest)
