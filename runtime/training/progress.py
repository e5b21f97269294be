"""Reporters of a run's progress: silent here, for terminals in lnet/cli/progress.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lnet.runtime.store.events import Event, Validated


class Reporter(Protocol):
    """Receives the progress of a run: `lnet.train(plan, reporter=...)` takes any object with these methods."""

    def started(self, step: int, steps: int) -> None:
        """A run begins or resumes at a step."""

    def stepped(self, step: int, objectives: Mapping[str, float], images_per_second: float) -> None:
        """A step is done."""

    def said(self, message: str) -> None:
        """A message for the user."""

    def happened(self, event: Event) -> None:
        """A validation; on a cluster any event of the log (lnet.runtime.store.events has the types), or an update."""

    def finished(self) -> None:
        """The run ended, with or without success."""


class Pruned(Exception):
    """Raised by a reporter whose run in one process is not worth its other steps: it ends there, and its log says why."""


class Silent:
    """Ignores everything: the default of the Python API."""

    def started(self, step: int, steps: int) -> None:
        pass

    def stepped(self, step: int, objectives: Mapping[str, float], images_per_second: float) -> None:
        pass

    def said(self, message: str) -> None:
        pass

    def happened(self, event: Event) -> None:
        pass

    def finished(self) -> None:
        pass


def losses_within(objectives: Mapping[str, float], width: int | None = None) -> str:
    """Return as many objectives with their values as fit into `width` columns, and the number left out."""
    shown = [f"{path} {value:.4g}" for path, value in objectives.items()]
    text = "  ".join(shown)
    for count in range(len(shown) - 1, -1, -1):
        if width is None or len(text) <= width:
            break
        text = "  ".join((*shown[:count], f"and {len(shown) - count} more"))
    return text


def progress(step: int, steps: int, images_per_second: float, objectives: Mapping[str, float]) -> str:
    """Return a line about a step."""
    return f"step {step:,}/{steps:,}  {images_per_second:,.0f} images/s  {losses_within(objectives)}"


def validation(event: Validated) -> str:
    """Return a line about a validation."""
    shown = {"loss": event.loss, **event.accuracies}
    return f"validation at step {event.step:,}: {losses_within(shown)}{', the best so far' * event.best}"
