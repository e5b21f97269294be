"""Failures of machines at random: half of them a process that ends and is seen to end, half a machine that falls silent."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from lnet.compiler.cut.cluster_spec import Worker
from lnet.compiler.predict.goodput import PER_HOURS
from lnet.runtime.cluster.protocol.table import Table

from .machines import Machines, Process

Kind = Literal["kill", "stop"]
KINDS: tuple[Kind, ...] = ("kill", "stop")
"""kill: a process ends, its connection closes and its nanny says so. stop: all workers of a machine end without a word."""
ROLES = ("primary", "standby", "tile", "spare")
"""What a failure hits: the first of these among the roles of its workers."""


@dataclass(frozen=True, slots=True)
class Failure:
    """When which workers ended, and the first of `ROLES` among theirs."""

    at: float
    kind: Kind
    role: str
    workers: tuple[str, ...]


@dataclass
class Failures:
    """Strikes machines `rate` times in 1,000 hours each; after `repair` seconds what ended begins again."""

    machines: Machines
    rate: float
    repair: float
    seed: int = 0
    struck: list[Failure] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(f"failures {self.seed}")
        self.hosts = sorted({place.host for place in self.machines.costs.cluster.workers})

    def begin(self) -> None:
        """Let the first failure come."""
        wait = self.random.expovariate(self.rate * len(self.hosts) / PER_HOURS)
        self.machines.after(wait, self._strike)

    def _strike(self) -> None:
        """Hit a machine, unless it is away, and let the next failure come."""
        host, kind = self.random.choice(self.hosts), self.random.choice(KINDS)
        there = [process for process in self.machines.processes.values() if process.place.host == host]
        if there:
            self.hit([self.random.choice(there)] if kind == "kill" else there, kind)
        self.begin()

    def hit(self, processes: list[Process], kind: Kind) -> None:
        """End processes, and begin others in their place once they are repaired."""
        roles = {role_of(self.machines.table, process.name) for process in processes}
        places = [process.place for process in processes]
        names = tuple(place.name for place in places)
        self.struck.append(Failure(self.machines.time, kind, min(roles, key=ROLES.index), names))
        for process in processes:
            self.machines.end(process, confirmed=kind == "kill")
        self.machines.after(self.repair, self._return, places)

    def _return(self, places: list[Worker]) -> None:
        for place in places:
            self.machines.join(place)


def role_of(table: Table, worker: str) -> str:
    """Return the first of `ROLES` that a worker has."""
    roles = table.roles(worker)
    if roles.primaries:
        return "primary"
    return "standby" if roles.standbys else "tile" if roles.tiles else "spare"
