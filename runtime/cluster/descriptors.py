"""How many files and connections (descriptors) the processes of a cluster open, and the limits that systems set.

    worker        its own, and a connection to each other process that its roles exchange with (transport/lines.py)
    scheduler     its own, and some to each worker and its nanny
    the command   with workers of its own: it has the scheduler, the nannies and their pipes

A limit is enough if it admits twice the connections that the plan's roles make: after a failure a worker takes over the
roles of another one, and a connection on which nothing comes stays open beside the next one.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from lnet.compiler.cut.decoding import decoding, processes_of
from lnet.compiler.cut.partners import Partners, partners
from lnet.compiler.cut.placement import Placement
from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import LnetError, refused

OWN = 48
"""Descriptors of a process apart from other ones: streams, Dask's connections, images; and those of a moment."""
TO_SCHEDULER, TO_NANNY = 6, 16
"""Descriptors of a scheduler for each worker, and of a process that starts workers, for the nanny of each."""
MOST = 2**20
"""What a limit is raised to at most: some systems call a limit unlimited and then refuse so many."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What each process of a cluster must be allowed to open. `lines`: connections of the worker that has most."""

    lines: int
    worker: int
    scheduler: int

    def in_words(self) -> str:
        """Return the line of `lnetc explain` about them."""
        return (
            f"a worker has connections to at most {self.lines:,} others; limits of descriptors (ulimit -n): "
            f"{self.worker:,} for each worker, {self.scheduler:,} for the scheduler"
        )


def needed(placement: Placement, partners: Partners, workers: int) -> Descriptors:
    """Return what a plan needs on so many workers."""
    planned = len(placement.cluster.workers)
    lines = max(map(len, _others(placement, partners)))
    more = min(max(0, workers - 1), lines * -(-planned // workers))
    return Descriptors(lines, OWN + 2 * more, OWN + TO_SCHEDULER * workers)


def of_plan(plan: Plan) -> Descriptors:
    """Return what a plan needs on its own workers."""
    shared = decoding(plan.graph, plan.partition, processes_of(plan.placement)).shared
    found = partners(plan.graph, plan.partition, shared)
    return needed(plan.placement, found, len(plan.placement.cluster.workers))


def _others(placement: Placement, partners: Partners) -> list[set[int]]:
    """Return the workers that each worker of a plan exchanges with; a standby is anywhere."""
    found: list[set[int]] = [set() for _ in placement.cluster.workers]

    def connect(a: int, b: int) -> None:
        if a != b:
            found[a].add(b)
            found[b].add(a)

    shards_per_tile = len(placement.servers) // len(placement.tiles[0])
    for homes in placement.tiles:
        for shard, server in enumerate(placement.servers):
            connect(homes[shard // shards_per_tile], server)
        for tile, home in enumerate(homes):
            for partner in partners[tile]:
                connect(home, homes[partner])
    return found


def limit() -> int:
    """Return how many descriptors this process may have, once its limit is raised as far as the system admits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # the system admits fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft


def too_few(need: int, notes: Iterable[str]) -> LnetError:
    """Return the error of processes that may open too few."""
    hint = f"start them after 'ulimit -n {need}', or as a systemd service with LimitNOFILE={need}"
    return refused("E766", "processes may open too few files and connections", *notes, hint=hint)


def check_own(workers: int) -> None:
    """Raise `LnetError` unless this process may start a scheduler and so many workers with their nannies."""
    need, found = OWN + (TO_SCHEDULER + TO_NANNY) * workers, limit()
    if found < need:
        raise too_few(
            need, [f"this process may have {found:,} descriptors; {workers:,} workers need {need:,}"]
        )
