"""What a step says of its objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lnet.compiler.graph.graph import Graph


@dataclass(frozen=True, slots=True)
class Losses:
    """The `loss`, its `terms` by path, their sums by objective; `accuracies`, shares of the images, by "path top-1"."""

    loss: float
    terms: Mapping[str, float]
    objectives: Mapping[str, float]
    accuracies: Mapping[str, float]

    @property
    def shown(self) -> dict[str, float]:
        """What a person is shown of a step."""
        return {**self.objectives, **self.accuracies}


def losses(graph: Graph, terms: Mapping[str, float]) -> Losses:
    """Return the losses and accuracies from the terms of a step."""
    own = {objective.path: terms.get(objective.path, 0.0) for objective in graph.objectives}
    objectives: dict[str, float] = {}
    for objective in graph.objectives:
        objectives[objective.part_of] = objectives.get(objective.part_of, 0.0) + own[objective.path]
    accuracies = {name: value for name, value in terms.items() if name not in own}
    return Losses(sum(own.values()), own, objectives, accuracies)
