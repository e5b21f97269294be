"""A run is given up when processes keep ending and no step is finished between.

    step done    death    death    death   ...    death --> a checkpoint of what there is --> given up
                   |<- Times.no_progress_timeout --->|      three or more, over that long, and no step since the first

A finished step clears the count, so occasional deaths never end a run. A synchronous run may also lose steps and compute
them again; after ten such rollbacks without a further step it is given up as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .table import Table

ENOUGH = 3
"""Deaths without a finished step between them before a run is given up."""
ROLLBACKS = 10
"""Rollbacks without a step beyond those of before, after which a run is given up."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a process ended. `number`: the limit's bytes, the signal or the status; `line`: the error's last one."""

    kind: Literal["memory", "signal", "exit", "import", "error", "unknown"] = "unknown"
    number: int = 0
    line: str = ""


@dataclass(frozen=True, slots=True)
class Death:
    """A process that was lost: its address, the name that people gave it, when, and why.

    `noticed`: its connection ended or its heartbeats stopped; else only its nanny has reported it so far.
    """

    address: str
    place: str
    at: float
    cause: Cause = Cause()
    noticed: bool = True


def lost(table: Table, worker: str, place: str, now: float) -> Table:
    """Count a lost process, unless its nanny has reported its end already."""
    index = _newest(table, worker.partition("#")[0])
    if index is not None and not table.deaths[index].noticed:
        return _with_death(table, index, replace(table.deaths[index], noticed=True))
    return replace(table, deaths=(*table.deaths, Death(worker.partition("#")[0], place, now)))


def explained(table: Table, address: str, place: str, cause: Cause, now: float) -> Table:
    """Record why the process at an address ended, and count it if its loss was not noticed yet."""
    index = _newest(table, address)
    if index is not None and table.deaths[index].cause.kind == "unknown":
        return _with_death(table, index, replace(table.deaths[index], cause=cause))
    return replace(table, deaths=(*table.deaths, Death(address, place, now, cause, noticed=False)))


def rolled_back(table: Table) -> Table:
    """Count a rollback, and the deaths since the last step as its cause."""
    return replace(
        table, rollback_deaths=(*table.rollback_deaths, *table.deaths), rollbacks=table.rollbacks + 1
    )


def forgotten(before: Table, after: Table) -> Table:
    """Clear the deaths when a step is finished, and the rollbacks when the run gets further than ever."""
    if after.pool.used > before.pool.used and after.deaths:
        after = replace(after, deaths=())
    if after.pool.used > after.reached:
        after = replace(after, reached=after.pool.used, rollback_deaths=(), rollbacks=0)
    return after


def postponed(table: Table, late: float) -> Table:
    """Discount the time in which the coordinator itself stood still."""
    return replace(table, deaths=tuple(replace(death, at=death.at + late) for death in table.deaths))


def hopeless(table: Table, now: float) -> bool:
    """Tell whether the run can never go on: deaths without progress for too long, or too many rollbacks."""
    if table.rollbacks >= ROLLBACKS:
        return True
    found = confirmed(table, now)
    if len(found) < ENOUGH:
        return False
    idle = not any(slot.staffed for slot in table.slots)
    return (now if idle else found[-1].at) - found[0].at >= table.spec.times.no_progress_timeout


def confirmed(table: Table, now: float) -> tuple[Death, ...]:
    """Return the deaths since the last step that count: each once its cause is known, or after ten heartbeat intervals."""
    told_by = now - 10 * table.spec.times.heartbeat_interval
    return tuple(death for death in table.deaths if death.at <= told_by or death.cause.kind != "unknown")


def _newest(table: Table, address: str) -> int | None:
    """Return the number of the newest death at an address."""
    found = (i for i in reversed(range(len(table.deaths))) if table.deaths[i].address == address)
    return next(found, None)


def _with_death(table: Table, index: int, death: Death) -> Table:
    return replace(table, deaths=(*table.deaths[:index], death, *table.deaths[index + 1 :]))
