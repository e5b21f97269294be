"""What the coordinator orders of a validation, and what a tile reports of it; validating.py says when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValidationOrder:
    """Validate the parameters after a `step` of each replica, fetched between the updates below number `before` and others.

    `id`: of the attempt, never used again; `keep`: they are the best so far, and to be written.
    """

    id: int
    step: int
    before: int
    keep: bool = False


@dataclass(frozen=True, slots=True)
class WrittenParams:
    """Digests of the files of a tile's validated parameters, one for each of its shards; none: failed, for `reason`."""

    digests: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ValidatedPart:
    """What a tile found in attempt `id`, on so many `images`: its shares of the means over them, by objective and accuracy.

    `seconds`: how long that took; `written`: its parameters, once they were to be kept.
    """

    id: int
    images: int
    terms: Mapping[str, float]
    seconds: float
    written: WrittenParams | None = None
