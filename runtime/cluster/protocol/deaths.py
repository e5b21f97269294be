"""Processes that end without a finished step between them: a run in which nothing else happens is given up.

    step done    death    death    death   ...    death --> given up
                   |<-------- Times.futility ------->|      three or more, over that long, and no step since the first

A step that is done forgets them all: a process that is killed now and then ends no run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from signal import Signals
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .table import Table

ENOUGH = 3
"""Deaths without a finished step between them before a run is given up."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a process ended. `number`: the limit's bytes, the signal or the status; `line`: the import error's last one."""

    kind: Literal["memory", "signal", "exit", "import", "unknown"] = "unknown"
    number: int = 0
    line: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "memory":
                return f"over its memory limit of {self.number:,} bytes"
            case "signal":
                named = {signal.value: f" ({signal.name})" for signal in Signals}
                return f"signal {self.number}{named.get(self.number, '')}"
            case "exit":
                return f"exit {self.number}"
            case "import":
                return f"import error: {self.line}"
            case "unknown":
                return "unknown"


@dataclass(frozen=True, slots=True)
class Death:
    """A process that was lost: its address, the name that people gave it, when, and why.

    `noticed`: its connection or its silence showed it; else its end was only told so far.
    """

    address: str
    place: str
    at: float
    cause: Cause = Cause()
    noticed: bool = True


def lost(table: Table, worker: str, place: str, now: float) -> Table:
    """Count a process that is lost, unless it was said already why it ends."""
    index = _newest(table, worker.partition("#")[0])
    if index is not None and not table.deaths[index].noticed:
        return _with_death(table, index, replace(table.deaths[index], noticed=True))
    return replace(table, deaths=(*table.deaths, Death(worker.partition("#")[0], place, now)))


def explained(table: Table, address: str, place: str, cause: Cause, now: float) -> Table:
    """Note why the process at an address ended, and count it if its loss was not noticed yet."""
    index = _newest(table, address)
    if index is not None and table.deaths[index].cause.kind == "unknown":
        return _with_death(table, index, replace(table.deaths[index], cause=cause))
    return replace(table, deaths=(*table.deaths, Death(address, place, now, cause, noticed=False)))


def forgotten(before: Table, after: Table) -> Table:
    """Forget the deaths before a step that is done."""
    done = after.pool.used > before.pool.used or after.committed > before.committed
    return replace(after, deaths=()) if done and after.deaths else after


def hopeless(table: Table, now: float) -> bool:
    """Tell whether the run can never go on: processes still end, or none is left that computes.

    A death counts once its cause is told, at the latest ten beats after it.
    """
    told_by = now - 10 * table.spec.times.beat
    found = [death.at for death in table.deaths if death.at <= told_by or death.cause.kind != "unknown"]
    if len(found) < ENOUGH:
        return False
    first, last = found[0], found[-1]
    idle = not any(slot.staffed for slot in table.slots)
    return (now if idle else last) - first >= table.spec.times.futility


def _newest(table: Table, address: str) -> int | None:
    """Return the number of the newest death at an address."""
    found = (i for i in reversed(range(len(table.deaths))) if table.deaths[i].address == address)
    return next(found, None)


def _with_death(table: Table, index: int, death: Death) -> Table:
    return replace(table, deaths=(*table.deaths[:index], death, *table.deaths[index + 1 :]))


def told(deaths: tuple[Death, ...]) -> Iterator[str]:
    """Yield a line for each worker: how often it was lost, and why."""
    for place in dict.fromkeys(death.place for death in deaths):
        causes = [str(death.cause) for death in deaths if death.place == place]
        each = ", ".join(_times(cause, causes.count(cause)) for cause in dict.fromkeys(causes))
        yield f"{place} was lost {_often(len(causes))}: {each if len(set(causes)) > 1 else causes[0]}"


def _times(cause: str, count: int) -> str:
    return cause if count == 1 else f"{cause} ({count:,} times)"


def _often(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
