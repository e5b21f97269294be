"""What events say of steps beside their losses (events.py): of one its slowest tile, of many their sums."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slowest:
    """The tile that waited least for the others in a step: its `seconds`, those of them that it `waited` for images and for
    other tiles, and of these, those for other tiles (`exchanged`).
    """

    tile: int
    seconds: float
    waited: float
    exchanged: float


@dataclass(frozen=True, slots=True)
class Figures:
    """So many values of one name: their sum and extremes."""

    count: int
    sum: float
    least: float
    most: float

    @property
    def mean(self) -> float:
        return self.sum / self.count


@dataclass(frozen=True, slots=True)
class ReplicaSteps:
    """Steps of a replica from `began` to `ended`, in seconds since 1970: the `bytes` that its tiles sent each other, the
    `traffic` to and from servers in the `traced` steps that know it; seconds that the slowest tiles computed, `exchanged`
    with other tiles and `waited` for images. Of steps that overlap, each one counts from the end of the step before.
    """

    count: int
    bytes: int
    traffic: int
    traced: int
    began: float
    ended: float
    computed: float
    exchanged: float
    waited: float
