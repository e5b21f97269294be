"""The section on a run on a cluster: failures, staleness, time and traffic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from markupsafe import Markup

from lnet.compiler.cut.cost import tile_costs
from lnet.compiler.plan.plan import Plan
from lnet.runtime.analysis.history import History
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

from .timeline import Loss, staleness_picture, timeline_picture

ENDS = (Completed, RunInterrupted, Failed)
SHOWN, ROLES = 20, 8
"""Failures that are shown at once, and roles of a lost worker that are named."""


@dataclass(frozen=True)
class Failure:
    """A row of the table of failures; `seconds`: the longest time that a replica stood still."""

    at: str
    what: str
    lost: str
    still: str
    seconds: float = math.inf


def cluster_section(plan: Plan, history: History) -> dict[str, Any] | None:
    """Return the content of the section; None for a run that was never on a cluster."""
    events = history.events
    begun = [event for event in events if isinstance(event, ClusterBegun)]
    if not begun:
        return None
    losses = [Loss(at, event.worker) for at, event in history.timed if isinstance(event, WorkerLost)]
    ages = ages_by_replica(events)
    rows = failures(history.timed)
    worst = set(sorted(range(len(rows)), key=lambda number: -rows[number].seconds)[:SHOWN])
    return {
        "summary": _summary(begun[-1]) + _repeated(events),
        "total": _total(rows, events),
        "failures": [row for number, row in enumerate(rows) if number in worst],
        "others": [row for number, row in enumerate(rows) if number not in worst],
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


def _total(rows: Sequence[Failure], events: Sequence[LogEvent]) -> str:
    """Return how much failed in all, where there is more than fits into the table."""
    if len(rows) <= SHOWN:
        return ""
    stood = [event.still for event in events if isinstance(event, Repaired)]
    workers = {event.worker for event in events if isinstance(event, WorkerLost)}
    text = f"{len(rows):,} failures of {_count(len(workers), 'worker')}; below are the {SHOWN} that cost most time"
    if stood:
        text += f"; after a loss replicas stood still for {np.median(stood):.1f} s in the median, "
        text += f"{max(stood):.1f} s at most and {sum(stood):,.0f} s in all"
    return text


# --- failures ------------------------------------------------------------------------------------------------------


def failures(timed: Sequence[tuple[float, LogEvent]]) -> list[Failure]:
    """Return the failures in chronological order."""
    rows = []
    for number, (at, event) in enumerate(timed):
        match event:
            case WorkerLost():
                still = _still(event, timed, number + 1)
                words = ", ".join(f"replica {r}: {_seconds(time)}" for r, time in sorted(still.items()))
                longest = max((t for t in still.values() if isinstance(t, float)), default=0.0)
                seconds = math.inf if any(isinstance(t, str) for t in still.values()) else longest
                rows.append(Failure(_clock(at), _roles(event), _work(event), words or "nobody", seconds))
            case WorkerSlow(slow=True):
                rows.append(
                    Failure(_clock(at), event.message, "nothing", f"replica {event.replica}: slower", 0.0)
                )
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
    more = f" and {len(roles) - ROLES:,} more" if len(roles) > ROLES else ""
    return f"{event.worker} was lost: {', '.join(roles[:ROLES]) or 'it had no role'}{more}"


def _work(event: WorkerLost) -> str:
    steps = sum(part.steps for part in event.replicas)
    updates = sum(part.updates for part in event.replicas)
    if not steps:
        return "nothing but the steps under way" if event.replicas else "nothing"
    return f"{_count(steps, 'step')} of tiles, for {_count(updates, 'update')} never acknowledged"


def _still(event: WorkerLost, timed: Sequence[tuple[float, LogEvent]], after: int) -> dict[int, float | str]:
    """Return how long each affected replica stood still, in seconds; in words until when if it was not repaired."""
    unrepaired = "to the end"
    found: dict[int, float | str] = {}
    for _, other in islice(timed, after, None):
        match other:
            case ClusterBegun():
                break
            case WorkerLost(worker=event.worker):
                unrepaired = "until it was lost again"
                break
            case Repaired(worker=event.worker):
                found[other.replica] = other.still
    return {part.replica: unrepaired for part in event.replicas} | found


def _seconds(time: float | str) -> str:
    return time if isinstance(time, str) else f"{time:.1f} s"


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
    total = {name: history.steps[name][made:].sum() for name in ("count", "bytes", "traffic", "traced")}
    if total["count"]:
        rows += [
            ("sent between tiles, a step", f"{total['bytes'] / total['count']:,.0f} bytes"),
            (f"sent in {_count(int(total['count']), 'step')}", f"{total['bytes']:,.0f} bytes"),
        ]
    traffic = sum(cost.traffic for cost in costs) * WIRES[begun.wire] / plan.graph.training.value_bytes
    rows += [("planned to and from servers, a step", f"{traffic:,.0f} bytes")]
    if total["traced"]:
        mean = total["traffic"] / total["traced"]
        rows += [("sent to and from servers elsewhere, a step", f"{mean:,.0f} bytes")]
    return rows


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _clock(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
