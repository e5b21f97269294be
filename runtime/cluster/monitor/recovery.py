"""What the loss of a worker cost: the work that must be done again, and how long which replica stood still.

    steps of a replica   | | | |  | |              | | | |
                                x worker lost      ^ the roles are filled, and a step of the new generation is done
                              |<- stood still ->|    its longest time between two steps since then

It is told every event of a run in turn, and the time of each; it has no clock of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
KEPT = 1024
"""Steps of a tile that are remembered: more than can be under way."""


@dataclass
class Outage:
    """A replica that a lost worker had a part in; `since`: when its last step was done."""

    worker: str
    replica: int
    since: float
    longest: float = 0.0


@dataclass
class RecoveryTracker:
    """`computed`: numbers of the updates that each tile's newest steps belong to, by replica and tile."""

    open: list[Outage] = field(default_factory=list)
    roles: Event | None = None
    computed: dict[tuple[int, int], deque[int]] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)

    def take(self, event: Event, at: float) -> tuple[Event, ...]:
        """Return the event, with the roles lost if it is a loss, and the repairs that it completes."""
        match event["event"]:
            case "tile":
                key = (event["replica"], event["tile"])
                self.computed.setdefault(key, deque(maxlen=KEPT)).append(event["number"])
            case "roles":
                self.roles = event
            case "worker lost":
                return (self._lost(event, at),)
            case "step":
                return event, *self._stepped(event["replica"], event["generation"], at)
        return (event,)

    def _lost(self, event: Event, at: float) -> Event:
        played = {entry["replica"]: entry for entry in event["replicas"]}
        stalled = self.last if event["primaries"] else ()
        for replica in sorted({*played, *stalled}):
            self.open.append(Outage(event["worker"], replica, self.last.get(replica, at)))
        return event | {"replicas": [entry | self._work_lost(entry) for entry in event["replicas"]]}

    def _work_lost(self, entry: Event) -> dict[str, int]:
        """Return the steps of tiles that were computed for updates which are not acknowledged, and these updates."""
        lost = [
            number
            for (replica, _), numbers in self.computed.items()
            for number in numbers
            if replica == entry["replica"] and number >= entry["acknowledged"]
        ]
        for (replica, _), numbers in self.computed.items():
            if replica == entry["replica"]:
                numbers.clear()
        return {"steps": len(lost), "updates": len(set(lost))}

    def _stepped(self, replica: int, generation: int, at: float) -> Iterator[Event]:
        self.last[replica] = at
        for outage in [outage for outage in self.open if outage.replica == replica]:
            outage.longest, outage.since = max(outage.longest, at - outage.since), at
            if self._filled(replica, generation):
                self.open.remove(outage)
                still = round(outage.longest, 3)
                yield {"event": "repaired", "worker": outage.worker, "replica": replica, "still": still}

    def _filled(self, replica: int, generation: int) -> bool:
        """Whether all roles that a replica needs are filled, and a step was computed since then."""
        if self.roles is None:
            return False
        found = self.roles["replicas"][replica]
        present = None not in found["workers"] and found["generation"] == generation
        return present and all(shard["primary"] is not None for shard in self.roles["shards"])
