"""Make a log shorter: old steps become sums over runs of steps, from which the report is the same.

    before   start 1 2 3 4 5 6 7 8 9 | lost | 10 11 12 13 14 15 16 17 18 19 20      steps that are events of their own
    after    start 1 [2-4] [5-8] [9] | lost | [10-12] [13-16] 17 18 19 20           sums, at most LENGTH steps each

A curve of the report has a point for 1, 2, 4, ... steps, as many as there must be for few points (history.py). Sums are
over a smaller power of two, from a multiple of it on, so each one lies within a point; the longer a log gets, the longer
they may be, and two become one. A sum ends where something happens but for checkpoints and what goes with them, and at
the newest checkpoints, so that a resume makes whole ones void.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from .events import (
    AgesCounted,
    CheckpointWritten,
    ClusterBegun,
    ClusterStepDone,
    LogEvent,
    Noted,
    Resumed,
    RolesChanged,
    RolesMoved,
    StepDone,
    StepsDone,
)
from .roles import CurrentRoles
from .sums import Figures, ReplicaSteps

SUMS = 2400
"""A thinned log has more sums than this, and not much more than twice as many."""
UNKNOWN = float("nan")
WITHIN = (CheckpointWritten, AgesCounted, Noted)
"""What may lie within a sum, which comes after it."""


def length_of(steps: int) -> int:
    """Return over how many steps sums may be in a log of so many."""
    return 1 << max(0, (steps // SUMS).bit_length() - 1)


def steps_in(event: LogEvent) -> int:
    """Return how many steps an event tells of."""
    match event:
        case StepDone():
            return 1
        case StepsDone():
            return event.count
    return 0


def thinned(events: Iterable[LogEvent], length: int, checkpoints: Sequence[int]) -> Iterator[LogEvent]:
    """Yield events with steps summed, but for the first one and those before which the clock was set back; ages that later
    ones include are left out. Where roles have moved since they were told as a whole, they are at the end.

    No sum goes beyond the end of a step in `checkpoints`, which are sorted: steps of all replicas.
    """
    part, index, last = _Part(), 0, 0.0
    roles, moved = CurrentRoles(), False
    for event in _without_old_ages(events):
        set_back, last = event.time < last, event.time
        if isinstance(event, RolesChanged | RolesMoved):
            if moved and replace(event, time=0.0) == roles.whole():
                continue  # of an earlier end
            roles.take(event)
            moved = isinstance(event, RolesMoved)
        if not isinstance(event, StepDone | StepsDone):
            if isinstance(event, WITHIN):
                part.later.append(event)
            else:
                yield from part.taken()
                yield event
            continue
        end = index + steps_in(event)
        same = part.begin // length == (end - 1) // length and part.goes_on_with(event)
        if same and bisect_left(checkpoints, part.step) == bisect_left(checkpoints, event.step):
            yield from part.let_go()
        else:
            yield from part.taken()
            part.begin = index
        part.events.append(event)
        if not index or set_back:
            yield from part.taken()
        index = end
    yield from part.taken()
    if moved:
        yield replace(roles.whole(), time=last)


def _without_old_ages(events: Iterable[LogEvent]) -> Iterator[LogEvent]:
    """Yield events; of the ages that a process has counted, which only grow, the last ones alone, after the others."""
    ages: AgesCounted | None = None
    last = 0.0
    for event in events:
        if isinstance(event, AgesCounted):
            ages = event
            continue
        if ages is not None and isinstance(event, Resumed | ClusterBegun):
            yield replace(ages, time=max(last, ages.time))
            ages = None
        yield event
        last = event.time
    if ages is not None:
        yield replace(ages, time=max(last, ages.time))


@dataclass
class _Part:
    """Events of steps that become one, and those after them that wait for it; `begin`: the number of steps before,
    `ended`: when each replica's last one did.
    """

    events: list[StepDone | StepsDone] = field(default_factory=list)
    later: list[LogEvent] = field(default_factory=list)
    begin: int = 0
    ended: dict[int, float] = field(default_factory=dict)

    @property
    def step(self) -> int:
        return self.events[-1].step if self.events else 0

    def goes_on_with(self, event: StepDone | StepsDone) -> bool:
        """Whether an event's steps follow those here, on a cluster or in one process as they do, and by the clock."""
        if not self.events:
            return False
        last = self.events[-1]
        follows = event.step - steps_in(event) == last.step and event.time >= last.time
        return follows and is_spread(event) == is_spread(last)

    def taken(self) -> Iterator[LogEvent]:
        """Yield what is here, the steps as one event, and begin anew."""
        parts = [_summed(event, self.ended) for event in self.events]
        if len(parts) > 1:
            yield _added(parts)
        else:
            yield from self.events
        self.events.clear()
        yield from self.let_go()

    def let_go(self) -> Iterator[LogEvent]:
        """Yield what waits, since a step comes after it."""
        yield from self.later
        self.later.clear()


def is_spread(event: StepDone | StepsDone) -> bool:
    """Whether steps were taken on a cluster."""
    return bool(event.replicas) if isinstance(event, StepsDone) else isinstance(event, ClusterStepDone)


# --- one step ------------------------------------------------------------------------------------------------------


def by_replica(event: StepDone | StepsDone, ended: dict[int, float]) -> Mapping[int, ReplicaSteps]:
    """Return an event's steps on a cluster; `ended`: when the last step of each replica did, which is kept."""
    match event:
        case StepsDone():
            found = event.replicas
        case ClusterStepDone():
            found = {event.replica: _of_replica(event, ended)}
        case _:
            return {}
    ended.update((replica, steps.ended) for replica, steps in found.items())
    return found


def _summed(event: StepDone | StepsDone, ended: dict[int, float]) -> StepsDone:
    """Return a step as a sum of one."""
    replicas = by_replica(event, ended)
    if isinstance(event, StepsDone):
        return event
    return StepsDone(
        time=event.time,
        step=event.step,
        images=event.images,
        count=1,
        loss=_one(event.loss),
        terms=_each(event.terms),
        objectives=_each(event.objectives),
        accuracies=_each(event.accuracies),
        seconds=_one(event.seconds),
        waited=event.waited,
        replicas=replicas,
    )


def _one(value: float) -> Figures:
    return Figures(1, value, value, value)


def _each(values: Mapping[str, float]) -> dict[str, Figures]:
    return {name: _one(value) for name, value in values.items()}


def _of_replica(event: ClusterStepDone, ended: Mapping[int, float]) -> ReplicaSteps:
    traffic, slowest = event.traffic, event.slowest
    seconds = UNKNOWN if slowest is None else slowest.seconds
    waited = UNKNOWN if slowest is None else slowest.waited
    exchanged = UNKNOWN if slowest is None else slowest.exchanged
    began = max(event.time - seconds, ended.get(event.replica, -float("inf")))
    kept = (event.time - began) / max(seconds, 1e-9)  # steps that are logged late overlap
    return ReplicaSteps(
        count=1,
        bytes=event.bytes,
        traffic=traffic or 0,
        traced=int(traffic is not None),
        began=began,
        ended=event.time,
        computed=(seconds - waited) * kept,
        exchanged=exchanged * kept,
        waited=(waited - exchanged) * kept,
    )


# --- several -------------------------------------------------------------------------------------------------------


def _added(parts: Sequence[StepsDone]) -> StepsDone:
    last = parts[-1]
    replicas = dict.fromkeys(chain.from_iterable(part.replicas for part in parts))
    return StepsDone(
        time=last.time,
        step=last.step,
        images=last.images,
        count=sum(part.count for part in parts),
        loss=_total([part.loss for part in parts]),
        terms=_totals([part.terms for part in parts]),
        objectives=_totals([part.objectives for part in parts]),
        accuracies=_totals([part.accuracies for part in parts]),
        seconds=_total([part.seconds for part in parts]),
        waited=sum(part.waited for part in parts),
        replicas={
            replica: _together([part.replicas[replica] for part in parts if replica in part.replicas])
            for replica in sorted(replicas)
        },
    )


def _totals(parts: Sequence[Mapping[str, Figures]]) -> dict[str, Figures]:
    names = dict.fromkeys(chain.from_iterable(parts))
    return {name: _total([part[name] for part in parts if name in part]) for name in names}


def _total(parts: Sequence[Figures]) -> Figures:
    return Figures(
        sum(part.count for part in parts),
        sum(part.sum for part in parts),
        min(part.least for part in parts),
        max(part.most for part in parts),
    )


def _together(parts: Sequence[ReplicaSteps]) -> ReplicaSteps:
    return ReplicaSteps(
        count=sum(part.count for part in parts),
        bytes=sum(part.bytes for part in parts),
        traffic=sum(part.traffic for part in parts),
        traced=sum(part.traced for part in parts),
        began=parts[0].began,
        ended=parts[-1].ended,
        computed=sum(part.computed for part in parts),
        exchanged=sum(part.exchanged for part in parts),
        waited=sum(part.waited for part in parts),
    )
