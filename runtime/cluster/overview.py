"""A run as the scheduler sees it: what all its processes publish passes there."""

from __future__ import annotations

from typing import Any

from .brief import Brief
from .steps import Steps
from .view import ClusterView

Event = dict[str, Any]


class Overview:
    """`batch`: images in a step of one replica."""

    def __init__(self, brief: Brief) -> None:
        self.steps = Steps(brief, brief.begun_at)
        self.view = ClusterView(brief.begun_at, brief.spec.batches, durability=brief.durability)
        self.batch = brief.plan.graph.training.batch

    def take(self, event: Event, at: float) -> None:
        """Take an event that was published, at a time."""
        self.view.take(event, at)
        match event["event"]:
            case "tile":
                step = self.steps.take(event)
                if step is not None:
                    self.view.take(step, at)
            case "rollback":
                self.steps.go_back(event["step"])
