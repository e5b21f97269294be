"""The trials of a sweep, as tables and pages show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from lnet.compiler.space import Point, value_text
from lnet.compiler.text_table import TextTable, as_html
from lnet.runtime.analysis.compare.groups import Spread

from .measure import Measure
from .spec import SweepSpec

DONE, PRUNED, FAILED, RUNNING, WAITING = "done", "pruned", "failed", "running", "waiting"
ORDER = (DONE, PRUNED, FAILED, RUNNING, WAITING)
"""Of tables."""
BEST = 10
"""Trials in a table of the best."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A point of the space, and what the runs at it reached.

    `state`: done, pruned, failed, running or waiting. `values`: the measure of each run that is done; of a pruned one what
    it had reached. `note`: why it was pruned or failed. `same_as`: the earlier trial with this point, which was not trained
    again.
    """

    number: int
    state: str
    point: Point
    values: tuple[float, ...] = ()
    note: str = ""
    same_as: int | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left to be trained."""
        return self.state in (DONE, PRUNED, FAILED)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return folder_of(self.number)

    @property
    def spread(self) -> Spread | None:
        """The mean and deviation of its values, None without any."""
        if not self.values:
            return None
        deviation = stdev(self.values) if len(self.values) > 1 else None
        return Spread(fmean(self.values), deviation, len(self.values))

    @property
    def remark(self) -> str:
        """Why it was pruned or failed, or which trial had this point before."""
        return self.note if self.same_as is None else f"the point of {folder_of(self.same_as)}"

    def shown(self, name: str) -> str:
        """Return the value of a variable as text, empty if it takes no part."""
        return value_text(self.point.get(name, ""))

    def line(self, measure: Measure, best: bool) -> str:
        """Return a line on how it ended."""
        found = f"{measure.name} {self.cell(measure)}" if self.values else self.state
        found = f"{self.state}: {self.remark}" if self.remark else found
        point = ", ".join(f"{short(name)} = {self.shown(name)}" for name in self.point)
        return f"{self.name}  {found}{', the best so far' * best}  ({point})"

    def cell(self, measure: Measure) -> str:
        """Return mean and deviation as text."""
        found = self.spread
        return "" if found is None else found.percent if measure.maximised else str(found)


def folder_of(number: int) -> str:
    """Return the name of a trial's folder."""
    return f"trial-{number:04}"


def short(name: str) -> str:
    """Return the name of a variable as tables have it: settings of `train` without the word, as in other tables."""
    return name.removeprefix("train.")


def counted(trials: Sequence[Trial]) -> str:
    """Return how many trials are in which state: 50 trials, 38 done, 10 pruned, 2 failed."""
    states = [trial.state for trial in trials]
    parts = [f"{states.count(state):,} {state}" for state in ORDER if state in states]
    return ", ".join([f"{len(trials):,} {'trial' if len(trials) == 1 else 'trials'}", *parts])


def best_first(trials: Iterable[Trial], measure: Measure) -> list[Trial]:
    """Return trials in the order of a table: those done, best first, then pruned, failed and others by their numbers."""

    def key(trial: Trial) -> tuple[int, float, int]:
        value = trial.spread.mean if trial.state == DONE and trial.spread is not None else 0.0
        return ORDER.index(trial.state), -value if measure.maximised else value, trial.number

    return sorted(trials, key=key)


@dataclass(frozen=True)
class Sweep:
    """A sweep on disk: its trials, best first. The runs of a trial are in `directory/trial-0007/seed-0`, `seed-1`, ..."""

    directory: Path
    spec: SweepSpec
    trials: Sequence[Trial]

    @property
    def measure(self) -> Measure:
        """What it goes by."""
        return self.spec.measure

    @property
    def best(self) -> Trial | None:
        """The best trial that is done."""
        return next(iter(self.best_trials), None)

    @property
    def best_trials(self) -> list[Trial]:
        """The trials that are done, best first, each point once."""
        return [trial for trial in self.trials if trial.state == DONE and trial.same_as is None]

    def _repr_html_(self) -> str:
        return as_html(shown_parts(self))

    def settings(self, trial: Trial) -> dict[str, str]:
        """Return the settings of a trial, by name, as `compile` takes them."""
        return self.spec.space.at_point(trial.point)


def shown_parts(sweep: Sweep) -> list[str | TextTable]:
    """Return what is printed of a sweep: how many trials are in which state, and a table of the best."""
    names = [variable.name for variable in sweep.spec.space.variables]
    rows = tuple(
        (trial.name, *map(trial.shown, names), trial.cell(sweep.measure))
        for trial in sweep.best_trials[:BEST]
    )
    table = TextTable(("trial", *map(short, names)), (sweep.measure.name,), rows)
    return [counted(sweep.trials), *([table] if rows else [])]
