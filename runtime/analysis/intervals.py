"""Means over runs that differ by their seed, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from scipy import special

from lnet.dsl.diagnostics import refused
from lnet.runtime.store.run import Run


@dataclass(frozen=True)
class Interval:
    """The mean of a figure over seeds, and the 95 % interval of Student's t; `low`, `high` are None of a single value."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def low(self) -> float | None:
        return None if self._half is None else self.mean - self._half

    @property
    def high(self) -> float | None:
        return None if self._half is None else self.mean + self._half

    @property
    def _half(self) -> float | None:
        count = len(self.values)
        if count < 2:
            return None
        quantile: float = special.stdtrit(count - 1, 0.975)
        return float(quantile * stdev(self.values) / math.sqrt(count))

    @property
    def figures(self) -> dict[str, Any]:
        """What a record has of it."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "values": list(self.values)}


def intervals(of_runs: Sequence[Mapping[str, Any]]) -> dict[str, Interval]:
    """Return the intervals of the numbers in the figures of several runs, by their names: `arrangement.roughness`.

    Figures that a run does not have are left out of its mean.
    """
    flat = [dict(_numbers(figures)) for figures in of_runs]
    names = dict.fromkeys(name for found in flat for name in found)
    return {name: Interval(tuple(found[name] for found in flat if name in found)) for name in names}


def _numbers(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)


def check_apart(runs: Sequence[Run]) -> None:
    """Raise `LnetError` if a run is there twice: an interval would be too narrow."""
    places = [run.path.resolve() for run in runs]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise refused("E784", f"the run '{runs[number].path}' is there twice", hint="name each run once")
