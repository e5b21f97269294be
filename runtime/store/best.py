"""The best parameters of a run so far, by its validation: a checkpoint without optimiser state, alone in `RUN/best`.

    best/step-00000500-3.shards     after step 500; the third that was the best

It is whole before the one before it is removed. Its manifest says how good it is, so that a run that goes on knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from lnet.compiler.files import unreadable
from lnet.compiler.graph.graph import Graph

from .checkpoints import CheckpointFolder, remove
from .events import Validated
from .safetensors import Damaged
from .shards import number_of, opened

FOLDER = "best"
TOP = " top-1"
"""How the names of accuracies end that `accuracy` counts."""


@dataclass(frozen=True, slots=True)
class Score:
    """How good parameters are: a `value`, `by` loss or accuracy, on images whose inventory has this digest."""

    by: str
    value: float
    images: str

    @staticmethod
    def of(event: Validated, by: str, images: str) -> Score:
        """Return the score of a validation; the accuracy is the mean of those of all objectives with labels."""
        tops = [value for name, value in event.accuracies.items() if name.endswith(TOP)]
        return Score(by, event.loss if by == "loss" else sum(tops) / len(tops), images)

    def beats(self, other: Score | None) -> bool:
        """Whether it is better than another one; one on other images does not count, nor one that is not finite."""
        if not isfinite(self.value):
            return False
        if other is None or (self.by, self.images) != (other.by, other.images):
            return True
        return self.value < other.value if self.by == "loss" else self.value > other.value


class BestFolder(CheckpointFolder):
    """The folder of the best parameters."""

    @staticmethod
    def of(directory: Path, graph: Graph, order: int) -> BestFolder:
        """Return that of a run that trains a network in a directory, on images in an order."""
        shapes = {parameter.name: parameter.shape for parameter in graph.parameters}
        return BestFolder(directory / FOLDER, 1, shapes, order)

    def _listed(self) -> list[Path]:
        return sorted(super()._listed(), key=number_of)

    def _drop_old(self, step: int) -> None:
        with suppress(OSError):
            for path in self._listed()[:-1]:
                remove(path)

    def score(self) -> Score | None:
        """Return the score of the best parameters, None without any that can be read; raises `LnetError`."""
        for path in reversed(self.in_order()):
            try:
                return Score(**opened(path).best)
            except (Damaged, FileNotFoundError, TypeError):  # one that is damaged is no reason to stop
                continue
            except OSError as error:
                raise unreadable(path, error) from error
        return None


def in_manifest(score: Score) -> Mapping[str, Any]:
    """Return what the manifest of the best parameters says of them."""
    return {"best": asdict(score)}
