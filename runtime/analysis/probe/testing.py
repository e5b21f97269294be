"""The neuron test of one subject: three passes, and the statistics of the chosen units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.runtime.analysis.neurons import check_finite

from .evaluate import Evaluator
from .labelled import LabelledSet
from .passes import Chosen, Counts, Range, accuracies, thresholds_between
from .result import BINS, Choice, Finding, Histogram, Row
from .scores import Mask, Verdict, figures, interval
from .subjects import Subject

Array = NDArray[Any]
EVERYTHING, HALF = 0, 1
"""The selections that are chosen on."""
RESPONSE_BINS = 40


@dataclass(frozen=True)
class Trial:
    """An evaluator over a labelled set, and the half on which units are chosen for the held-out figures."""

    evaluator: Evaluator
    half: Mask
    seed: int

    @property
    def images(self) -> LabelledSet:
        return self.evaluator.gallery.images

    def rows(self, subject: Subject, name: str = "", baseline: bool = True) -> dict[str, Row]:
        """Return a row for each group of a subject's units; those of a network, which has a `name`, are its layers."""
        selections = np.stack([np.ones_like(self.half), self.half])
        ranges = self.evaluator.evaluate(subject, Range(selections))
        for group, found in ranges.items():
            check_finite(group, *found)
        thresholds = {group: thresholds_between(low, high) for group, (low, high) in ranges.items()}
        counts = self.evaluator.evaluate(subject, Counts(selections, self.images.positive, thresholds))
        positive = self.images.positive
        totals = np.stack([(selections & ~positive).sum(1), (selections & positive).sum(1)], 1)
        tables = {
            group: Table(accuracies(count, totals), thresholds[group]) for group, count in counts.items()
        }
        responses = self.evaluator.evaluate(subject, Chosen({group: t.chosen for group, t in tables.items()}))
        return {
            group: self._row(subject, group, table, responses[group], name, baseline)
            for group, table in tables.items()
        }

    def _row(
        self, subject: Subject, group: str, table: Table, responses: Array, name: str, baseline: bool
    ) -> Row:
        by_unit = dict(zip(table.chosen.tolist(), responses, strict=True))
        judge = Judge(self, table, by_unit, partial(subject.name, group))
        best = table.accuracies[EVERYTHING].max(0)
        return Row(
            name or group,
            group if name else "",
            baseline,
            len(best),
            judge.finding(negated=False),
            judge.finding(negated=True),
            tuple(np.histogram(best, BINS, (0, 1))[0].tolist()),
            judge.histogram(),
        )


@dataclass(frozen=True)
class Table:
    """Accuracies and thresholds `[selection, threshold, unit]`, and the best units."""

    accuracies: Array
    thresholds: Array

    def best(self, selection: int, negated: bool) -> tuple[int, int, float]:
        """Return unit, number of the threshold, and accuracy."""
        table = self.accuracies[selection]
        table = 1 - table if negated else table
        unit = int(table.max(0).argmax())
        threshold = int(table[:, unit].argmax())
        return unit, threshold, float(table[threshold, unit])

    @property
    def chosen(self) -> Array:
        """The units whose responses are needed."""
        return np.unique([self.best(s, negated)[0] for s in (EVERYTHING, HALF) for negated in (False, True)])


@dataclass(frozen=True)
class Judge:
    """Compares the responses of a group's chosen units with the labels."""

    trial: Trial
    table: Table
    responses: Mapping[int, Array]
    name: Callable[[int], str]

    def finding(self, negated: bool) -> Finding:
        everything = np.ones_like(self.trial.half)
        flattering = self._choice(EVERYTHING, everything, negated)
        honest = self._choice(HALF, ~self.trial.half, negated)
        return Finding(flattering, honest)

    def _choice(self, chosen_on: int, reported_on: Mask, negated: bool) -> Choice:
        unit, number, accuracy = self.table.best(chosen_on, negated)
        threshold = self.table.thresholds[chosen_on, number, unit]
        responses = self.responses[unit][reported_on]
        verdict = Verdict(
            -responses if negated else responses,
            (responses > threshold) != negated,
            self.trial.images.positive[reported_on],
        )
        low, high = None, None
        if chosen_on == HALF:
            low, high = interval(verdict, self.trial.images.sources[reported_on], self.trial.seed)
        return Choice(self.name(unit), float(threshold), accuracy, figures(verdict), low, high)

    def histogram(self) -> Histogram:
        responses = self.responses[self.table.best(EVERYTHING, negated=False)[0]]
        low, high = float(responses.min()), float(responses.max())
        ends = (low, high if high > low else low + 1)
        positive = self.trial.images.positive
        sought, others = (np.histogram(responses[k], RESPONSE_BINS, ends)[0] for k in (positive, ~positive))
        return Histogram(*ends, tuple(sought.tolist()), tuple(others.tolist()))
