"""What the loss of a worker cost: the work that must be done again, and how long which replica stood still.

    steps of a replica   | | | |  | |              | | | |
                                x worker lost      ^ the roles are filled, and a step of the new generation is done
                              |<- stood still ->|    its longest time between two steps since then

It is told every event of a run in turn, and the time of each; it has no clock of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from lnet.runtime.cluster.published import TileComputed
from lnet.runtime.store.events import (
    ClusterStepDone,
    LogEvent,
    PartLost,
    Repaired,
    RolesChanged,
    RolesMoved,
    WorkerLost,
)
from lnet.runtime.store.roles import CurrentRoles

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
    roles: CurrentRoles = field(default_factory=CurrentRoles)
    computed: dict[int, dict[int, deque[int]]] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)

    def computed_by(self, tile: TileComputed) -> None:
        """Remember a step of a tile."""
        own = self.computed.setdefault(tile.replica, {})
        own.setdefault(tile.tile, deque(maxlen=KEPT)).append(tile.number)

    def take(self, event: LogEvent, at: float) -> tuple[LogEvent, ...]:
        """Return the event, with the work lost if it is a loss, and the repairs that it completes."""
        match event:
            case RolesChanged() | RolesMoved():
                self.roles.take(event)
            case WorkerLost():
                return (self._lost(event, at),)
            case ClusterStepDone():
                return event, *self._stepped(event.replica, event.generation, at)
        return (event,)

    def _lost(self, event: WorkerLost, at: float) -> WorkerLost:
        played = {part.replica for part in event.replicas}
        stalled = self.last if event.primaries else ()
        for replica in sorted({*played, *stalled}):
            self.open.append(Outage(event.worker, replica, self.last.get(replica, at)))
        return replace(event, replicas=tuple(self._with_work(part) for part in event.replicas))

    def _with_work(self, part: PartLost) -> PartLost:
        """Return a part with the steps of tiles that were computed for updates not acknowledged, and these updates."""
        own = self.computed.get(part.replica, {}).values()
        lost = [number for numbers in own for number in numbers if number >= part.acknowledged]
        for numbers in own:
            numbers.clear()
        return replace(part, steps=len(lost), updates=len(set(lost)))

    def _stepped(self, replica: int, generation: int, at: float) -> Iterator[Repaired]:
        self.last[replica] = at
        for outage in [outage for outage in self.open if outage.replica == replica]:
            outage.longest, outage.since = max(outage.longest, at - outage.since), at
            if self._filled(replica, generation):
                self.open.remove(outage)
                yield Repaired(outage.worker, replica, round(outage.longest, 3))

    def _filled(self, replica: int, generation: int) -> bool:
        """Whether all roles that a replica needs are filled, and a step was computed since then."""
        found = self.roles.replicas.get(replica)
        if found is None:
            return False
        return not found.vacant and found.generation == generation and not self.roles.unled
