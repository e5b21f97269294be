"""The log of a run on a cluster: what is logged is told to whoever watches, too, with what losses and staleness add."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lnet.runtime.cluster import clock
from lnet.runtime.process.progress import Reporter
from lnet.runtime.store.events import EventLog

from .recovery import RecoveryTracker

Event = dict[str, Any]


class EventRecorder:
    """Takes the place of an `EventLog`."""

    def __init__(self, log: EventLog, reporter: Reporter) -> None:
        self.log, self.reporter = log, reporter
        self.recovery = RecoveryTracker()
        self.ages: dict[int, Counter[int]] = {}

    def heard(self, event: Event) -> None:
        """Take an event of a process, before it is decided whether it is logged."""
        match event["event"]:
            case "tile":
                self.recovery.take(event, clock.now())
            case "update":
                self.ages.setdefault(event["slot"], Counter())[event["age"]] += 1
                self.reporter.happened(event)

    def add(self, event: str, **details: Any) -> None:
        for told in self.recovery.take(named({"event": event, **details}), clock.now()):
            self.log.add(**told)
            self.reporter.happened(told)
            if told["event"] == "repaired":
                text = f"replica {told['replica']} stood still for {told['still']:.1f} s after {told['worker']} was lost"
                self.reporter.said(text)
        if event == "checkpoint":
            self.add_ages()

    def add_ages(self) -> None:
        """Log how old the updates so far were when they were applied, at all shards and for each replica."""
        every: Counter[int] = sum(self.ages.values(), Counter())
        self.log.add(
            "ages",
            ages=_listed(every),
            replicas=[
                _listed(self.ages[r]) if r in self.ages else {} for r in range(max(self.ages, default=-1) + 1)
            ],
        )


def named(event: Event) -> Event:
    """Return an event with its worker's name, where it has it, in place of the address."""
    if "place" not in event:
        return event
    place = event["place"]
    rest = {key: value for key, value in event.items() if key != "place"}
    return rest | {"worker": place.partition("://")[2] or place}


def _listed(counts: Counter[int]) -> dict[str, int]:
    return {str(age): count for age, count in sorted(counts.items())}
