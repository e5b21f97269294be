"""Whether the grace period of a stopped run suffices for its last checkpoint."""

from __future__ import annotations

from collections import Counter
from math import ceil

from lnet.dsl.diagnostics import Diagnostic

from .explain import size_text
from .plan import Plan

RATE = 100_000_000
"""Write speed of a plain disk or a shared file system, in bytes per second; many are ten times as fast."""


def warn_of_grace(plan: Plan, grace: float, cluster: bool) -> Diagnostic | None:
    """Return a warning if a checkpoint may take longer than `grace`, the seconds that a run has after Ctrl-C.

    On a cluster each worker writes the shards that are placed on it; one process writes all.
    """
    shards = [size for cost in plan.costs for size in cost.servers]
    by_worker: Counter[int] = Counter()
    for shard, worker in zip(shards, plan.placement.servers, strict=True):
        by_worker[worker if cluster else 0] += shard
    largest = max(by_worker.values())
    seconds = ceil(largest / RATE)
    if seconds <= grace:
        return None
    share = f" ({size_text(largest)} on one worker)" if len(by_worker) > 1 else ""
    return Diagnostic(
        "W607",
        f"a checkpoint of '{plan.graph.name}', {size_text(sum(shards))}{share}, takes {seconds:,} s to write at "
        f"{size_text(RATE)}/s, and after Ctrl-C a run has {grace:g} s",
        hints=(
            f"--grace {seconds} (Python: grace={seconds}), or a faster disk; a run that cannot write it in time ends "
            "with the checkpoint before",
        ),
    )
