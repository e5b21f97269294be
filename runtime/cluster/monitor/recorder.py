"""The log of a run on a cluster: what is logged is told to whoever watches, too, with what losses and staleness add."""

from __future__ import annotations

from collections import Counter

from lnet.runtime.cluster import clock
from lnet.runtime.cluster.published import TileComputed, UpdateApplied
from lnet.runtime.store.events import AgesCounted, CheckpointWritten, Event, LogEvent, Repaired
from lnet.runtime.store.log import EventLog
from lnet.runtime.training.progress import Reporter

from .recovery import RecoveryTracker


class EventRecorder:
    """Takes the place of an `EventLog`."""

    def __init__(self, log: EventLog, reporter: Reporter) -> None:
        self.log, self.reporter = log, reporter
        self.recovery = RecoveryTracker()
        self.ages: dict[int, Counter[int]] = {}

    def heard(self, event: Event) -> None:
        """Take an event of a process, before it is decided whether it is logged."""
        match event:
            case TileComputed():
                self.recovery.computed_by(event)
            case UpdateApplied():
                self.ages.setdefault(event.slot, Counter())[event.age] += 1
                self.reporter.happened(event)

    def add(self, event: LogEvent) -> None:
        for told in self.recovery.take(event, clock.now()):
            self.log.add(told)
            self.reporter.happened(told)
            if isinstance(told, Repaired):
                text = (
                    f"replica {told.replica} stood still for {told.still:.1f} s after {told.worker} was lost"
                )
                self.reporter.said(text)
        if isinstance(event, CheckpointWritten):
            self.add_ages()

    def add_ages(self) -> None:
        """Log how old the updates so far were when they were applied, at all shards and for each replica."""
        every: Counter[int] = sum(self.ages.values(), Counter())
        replicas = range(max(self.ages, default=-1) + 1)
        self.log.add(
            AgesCounted(_listed(every), tuple(_listed(self.ages.get(r, Counter())) for r in replicas))
        )


def _listed(counts: Counter[int]) -> dict[int, int]:
    return dict(sorted(counts.items()))
