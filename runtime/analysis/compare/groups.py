"""Runs in groups: those that differ only in their seed, with means and standard deviations of what they reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from math import isfinite, nan
from statistics import fmean, stdev
from string import ascii_uppercase

from lnet.runtime.store.summary import Summary, unlike

SEED = "seed"
LABEL = 48
"""Characters of a label that names settings; longer ones are only in the table."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean of a figure over `count` runs, and its standard deviation (n - 1), None of one run."""

    mean: float
    deviation: float | None
    count: int

    def __str__(self) -> str:
        return f"{self.mean:,.4g}" + ("" if self.deviation is None else f" ± {self.deviation:,.2g}")

    @property
    def percent(self) -> str:
        """The same of a share."""
        return f"{self.mean:.1%}" + ("" if self.deviation is None else f" ± {100 * self.deviation:.1f}")


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ only in their seed; `name` is a letter, `settings` are those in which the groups differ."""

    name: str
    runs: tuple[Summary, ...]
    settings: dict[str, str]

    @property
    def label(self) -> str:
        """The name, with the settings that tell it from other groups if they are short."""
        said = ", ".join(f"{name} = {text}" for name, text in self.settings.items() if text)
        return f"{self.name}: {said}" if said and len(said) <= LABEL else self.name

    @property
    def seeds(self) -> str:
        """The seeds of its runs."""
        return ", ".join(run.settings.get(SEED, "") for run in self.runs)

    @property
    def step(self) -> str:
        """The last steps of its runs, and those planned."""
        reached = sorted({run.step for run in self.runs})
        return f"{'..'.join(f'{step:,}' for step in reached[:: max(1, len(reached) - 1)])}/{self.runs[0].steps:,}"

    def spread(self, of: Callable[[Summary], float | None]) -> Spread | None:
        """Return the mean and deviation of a figure over the runs where it is finite; None if no run has it."""
        values = [value for run in self.runs if (value := of(run)) is not None]
        finite = [value for value in values if isfinite(value)]
        if not finite:
            return Spread(nan, None, 0) if values else None
        return Spread(fmean(finite), stdev(finite) if len(finite) > 1 else None, len(finite))


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured of a run, under a heading; `share`: between 0 and 1."""

    heading: str
    of: Callable[[Summary], float | None]
    share: bool = False

    def cell(self, group: Group) -> str:
        """Return its mean and deviation over a group, and of how many runs if not of all; empty if none has it."""
        spread = group.spread(self.of)
        if spread is None:
            return ""
        some = "" if spread.count == len(group.runs) else f" ({spread.count} of {len(group.runs)})"
        return (spread.percent if self.share else str(spread)) + some


def _of_loss(part: str) -> Callable[[Summary], float | None]:
    return lambda run: getattr(getattr(run, part), "loss", None)


def _of_accuracy(part: str) -> Callable[[Summary], float | None]:
    return lambda run: getattr(getattr(run, part), "accuracy", None)


FIGURES = (
    Figure("loss", _of_loss("trained")),
    Figure("accuracy", _of_accuracy("trained"), share=True),
    Figure("val. loss", _of_loss("validated")),
    Figure("val. accuracy", _of_accuracy("validated"), share=True),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Groups of runs, and the names of the settings in which they differ."""

    groups: tuple[Group, ...]
    differing: tuple[str, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Those that any run has."""
        return tuple(each for each in FIGURES if any(map(each.cell, self.groups)))


def compare(runs: Sequence[Summary]) -> Comparison:
    """Return runs in groups, in the order of their first ones."""
    told = [{"network": run.network, **run.settings} for run in runs]
    differing = tuple(name for name in unlike(told) if name != SEED)
    found: dict[tuple[str, ...], list[Summary]] = {}
    for run, each in zip(runs, told, strict=True):
        found.setdefault(tuple(each.get(name, "") for name in differing), []).append(run)
    groups = (
        Group(name, tuple(members), dict(zip(differing, key, strict=True)))
        for name, (key, members) in zip(_letters(), found.items(), strict=False)
    )
    return Comparison(tuple(groups), differing)


def _letters() -> Iterable[str]:
    """Yield A to Z, then A2 to Z2 and so on."""
    for number in count(1):
        yield from (f"{letter}{number}" if number > 1 else letter for letter in ascii_uppercase)
