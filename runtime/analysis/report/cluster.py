"""The section on a run on a cluster: failures, staleness, time and traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from lnet.compiler.cut.cost import tile_costs
from lnet.compiler.cut.partition import BYTES
from lnet.compiler.plan.plan import Plan
from lnet.runtime.engine.rounding import WIRES
from lnet.runtime.store.events import (
    AgesCounted,
    ClusterBegun,
    Completed,
    Failed,
    LogEvent,
    Repaired,
    ReplicaLapsed,
    Resumed,
    RolledBack,
    RunInterrupted,
    UpdatesLost,
    UpdateTorn,
    WorkerLost,
    WorkerSlow,
)

from .history import History
from .timeline import Loss, staleness_picture, timeline_picture

ENDS = (Completed, RunInterrupted, Failed)


@dataclass(frozen=True)
class Failure:
    """A row of the table of failures."""

    at: str
    what: str
    lost: str
    still: str


def cluster_section(plan: Plan, history: History) -> dict[str, Any] | None:
    """Return the content of the section; None for a run that was never on a cluster."""
    events = history.events
    begun = [event for event in events if isinstance(event, ClusterBegun)]
    if not begun:
        return None
    losses = [Loss(at, event.worker) for at, event in history.timed if isinstance(event, WorkerLost)]
    ages = ages_by_replica(events)
    return {
        "summary": _summary(begun[-1]) + _repeated(events),
        "failures": failures(history.timed),
        "staleness": Markup(staleness_picture(ages)) if any(ages) else None,
        "timeline": Markup(timeline_picture(history.steps, losses)) if history.steps.spread else None,
        "bytes": moved(plan, history),
    }


def _summary(event: ClusterBegun) -> str:
    return (
        f"{_count(event.replicas, 'replica')} of {event.tiles} tiles on {_count(event.workers, 'worker')}, "
        f"durability {event.durability}"
    )


def _repeated(events: Sequence[LogEvent]) -> str:
    """Return a note on recomputed updates that shards may have applied differently."""
    torn = sum(isinstance(event, UpdateTorn) for event in events)
    text = f"; {_count(torn, 'update')} torn: shards have different attempts of them" if torn else ""
    back = sum(event.batches for event in events if isinstance(event, ReplicaLapsed))
    return text + (
        f"; given back by lapsed replicas: {back:,} batches, which shards may have twice" if back else ""
    )


# --- failures ------------------------------------------------------------------------------------------------------


def failures(timed: Sequence[tuple[float, LogEvent]]) -> list[Failure]:
    """Return the failures in chronological order."""
    rows = []
    for number, (at, event) in enumerate(timed):
        match event:
            case WorkerLost():
                still = _still(event, [later for _, later in timed[number + 1 :]])
                rows.append(Failure(_clock(at), _roles(event), _work(event), still))
            case WorkerSlow(slow=True):
                rows.append(Failure(_clock(at), event.message, "nothing", f"replica {event.replica}: slower"))
            case UpdatesLost():
                lost = f"{_count(event.updates, 'acknowledged update')}"
                rows.append(Failure(_clock(at), f"shard {event.shard} had no copy left", lost, ""))
            case RolledBack():
                lost = f"steps {event.step:,} to {event.reached:,}, computed again"
                rows.append(Failure(_clock(at), f"shard {event.shard} had no copy left", lost, ""))
            case Resumed() if number and not isinstance(timed[number - 1][1], ENDS):
                what = "the process that ran it, or the scheduler, ended"
                lost = f"what came after step {event.step:,}"
                rows.append(Failure(_clock(at), what, lost, "all, until it was resumed"))
    return rows


def _roles(event: WorkerLost) -> str:
    roles = [
        *(f"tile {tile} of replica {part.replica}" for part in event.replicas for tile in part.tiles),
        *(f"primary of shard {shard}" for shard in event.primaries),
        *(f"standby of shard {shard}" for shard in event.standbys),
    ]
    return f"{event.worker} was lost: {', '.join(roles) or 'it had no role'}"


def _work(event: WorkerLost) -> str:
    steps = sum(part.steps for part in event.replicas)
    updates = sum(part.updates for part in event.replicas)
    if not steps:
        return "nothing but the steps under way" if event.replicas else "nothing"
    return f"{_count(steps, 'step')} of tiles, for {_count(updates, 'update')} never acknowledged"


def _still(event: WorkerLost, later: Sequence[LogEvent]) -> str:
    """Describe how long each affected replica stalled: until it resumed, was lost again, or the end."""
    unrepaired = "to the end"
    found: dict[int, str] = {}
    for other in later:
        match other:
            case ClusterBegun():
                break
            case WorkerLost(worker=event.worker):
                unrepaired = "until it was lost again"
                break
            case Repaired(worker=event.worker):
                found[other.replica] = f"{other.still:.1f} s"
    found = {part.replica: unrepaired for part in event.replicas} | found
    return ", ".join(f"replica {replica}: {time}" for replica, time in sorted(found.items())) or "nobody"


# --- staleness -----------------------------------------------------------------------------------------------------


def ages_by_replica(events: Sequence[LogEvent]) -> list[Counter[int]]:
    """Return updates by age for each replica: `ages` counts from a process's start, so the last counts of all are added."""
    total: list[Counter[int]] = []
    newest: tuple[Mapping[int, int], ...] = ()
    for event in (*events, None):
        if isinstance(event, AgesCounted):
            newest = event.replicas
        elif event is None or isinstance(event, ClusterBegun):
            counts = [Counter(ages) for ages in newest]
            longest = max(len(total), len(counts))
            total = [a + b for a, b in zip(_padded(total, longest), _padded(counts, longest), strict=True)]
            newest = ()
    return total


def _padded(counts: list[Counter[int]], length: int) -> list[Counter[int]]:
    return counts + [Counter()] * (length - len(counts))


# --- bytes ---------------------------------------------------------------------------------------------------------


def moved(plan: Plan, history: History) -> list[tuple[str, str]]:
    """Return the bytes sent by tiles and servers since the last start of the run, beside the plan's figures.

    A server on its tile's worker causes no traffic.
    """
    begun, made = [
        (event, made)
        for event, made in zip(history.events, history.made, strict=True)
        if isinstance(event, ClusterBegun)
    ][-1]
    costs = tile_costs(plan.graph, plan.partition)
    planned = sum(cost.halo + cost.dense + cost.reduction for cost in costs)
    rows = [("planned between tiles, a step", f"{planned:,} bytes")]
    sent = history.steps["bytes"][made:]
    if len(sent):
        rows += [
            ("sent between tiles, a step", f"{sent.mean():,.0f} bytes"),
            (f"sent in {_count(len(sent), 'step')}", f"{sent.sum():,.0f} bytes"),
        ]
    traffic = sum(cost.traffic for cost in costs) * WIRES[begun.wire] / BYTES
    rows += [("planned to and from servers, a step", f"{traffic:,.0f} bytes")]
    crossed = history.steps["traffic"][made:]
    if not np.isnan(crossed).all():
        rows += [("sent to and from servers elsewhere, a step", f"{np.nanmean(crossed):,.0f} bytes")]
    return rows


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
