"""What a sweep goes by: a figure of a run's last validation, or the mean of its last steps, as `lnetc compare` has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum
from pathlib import Path

from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import did_you_mean, refused, those_there_are
from lnet.runtime.store.events import StepDone, Validated
from lnet.runtime.store.log import stream_events
from lnet.runtime.store.summary import RECENT, TOP

LOSS, ACCURACY = "loss", "accuracy"
SHARE = " top-"
"""What the names of accuracies have in them: "kind.learn top-1"."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a run by its name: `loss`, `accuracy`, an objective's path, or an accuracy's name, as the log has them.

    `validated`: that of the last validation, not the mean of the last steps.
    """

    name: str
    validated: bool

    @property
    def maximised(self) -> bool:
        """Whether more is better, as of accuracies, which are shares of the images."""
        return self.name == ACCURACY or SHARE in self.name

    @property
    def text(self) -> str:
        """Its name in sentences."""
        return f"{self.name} of the last {'validation' if self.validated else f'{RECENT} steps'}"

    def shown(self, value: float) -> str:
        """Return a value as text."""
        return f"{value:.1%}" if self.maximised else f"{value:,.4g}"

    def of(self, run: Path, steps: int = RECENT) -> float | None:
        """Return the figure of a run in a directory, as far as it has come; None where it has none yet.

        `steps`: so many of the last ones are averaged, if it is not of a validation.
        """
        events = stream_events(run / "events.jsonl", steps=not self.validated)
        kind = Validated if self.validated else StepDone
        last = deque((event for event in events if isinstance(event, kind)), 1 if self.validated else steps)
        found = [value for event in last if (value := self._in(event)) is not None]
        return fsum(found) / len(found) if found else None

    def _in(self, event: StepDone | Validated) -> float | None:
        if self.name == ACCURACY:
            tops = [value for name, value in event.accuracies.items() if name.endswith(TOP)]
            return fsum(tops) / len(tops) if tops else None
        figures: Mapping[str, float] = {
            LOSS: event.loss,
            **event.terms,
            **event.objectives,
            **event.accuracies,
        }
        return figures.get(self.name)


def measure_of(graph: Graph, name: str) -> Measure:
    """Return the measure of a network's runs by its name; raises `LnetError` for an unknown one."""
    validated = graph.validated
    objectives = (graph if validated is None else validated).objectives
    paths = [path for objective in objectives for path in (objective.part_of, objective.path)]
    learned = [objective.path for objective in objectives if objective.term.needs_labels]
    shares = [f"{path}{SHARE}{number}" for path in learned for number in (1, 5)]
    known = dict.fromkeys((LOSS, *paths, *([ACCURACY] if learned else []), *shares))
    if name not in known:
        raise refused(
            "E720",
            f"there is no objective or accuracy '{name}'",
            those_there_are("figures of its runs", known),
            hint=did_you_mean(name, known),
        )
    return Measure(name, validated is not None)
