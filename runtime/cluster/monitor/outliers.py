"""What of many replicas and shards a person looks at first, and the rest in one line.

Few roles are shown one by one. Of more, the replicas that do not compute, then the slowest, and the shards that a loss
would hit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .view import ClusterView, ReplicaRow, ShardRow

FEW = 64
"""Roles of tiles and shards up to which each one is shown, and every change of them logged as the whole."""
ROWS, SLOW = 8, 6
"""Replicas, and shards, that are shown of more; of these, replicas for being slow, and not for being stale."""


@dataclass(frozen=True)
class Shown:
    """What is shown of a cluster, and what is said of the others. `small`: it has so few roles that each one is shown."""

    small: bool
    replicas: Sequence[ReplicaRow]
    shards: Sequence[ShardRow]
    other_replicas: str = ""
    other_shards: str = ""


def shown(view: ClusterView, replicas: Sequence[ReplicaRow], shards: Sequence[ShardRow]) -> Shown:
    """Choose what is shown of all replicas and shards."""
    tiles = sum(len(replica.workers) for replica in view.roles.replicas.values())
    if tiles + len(view.roles.shards) <= FEW:
        return Shown(True, replicas, shards)
    slow, hit = _worst_replicas(replicas), _worst_shards(shards)
    return Shown(
        False,
        slow,
        hit,
        _other_replicas([row for row in replicas if row not in slow]),
        _other_shards([row for row in shards if row not in hit], len(hit)),
    )


def _worst_replicas(rows: Sequence[ReplicaRow]) -> list[ReplicaRow]:
    """Return the replicas that are shown: who does not compute, then the slowest; last the most stale of the others."""
    standing = sorted(rows, key=_standing)
    others = sorted(standing[SLOW:], key=lambda row: (-(row.staleness or 0), row.index))
    return standing[:SLOW] + others[: ROWS - SLOW]


def _standing(row: ReplicaRow) -> tuple[object, ...]:
    return (
        row.state == "computing",
        -len(row.vacant),
        round(row.step_rate, 2),
        -(row.staleness or 0),
        row.index,
    )


def _worst_shards(rows: Sequence[ShardRow]) -> list[ShardRow]:
    """Return the shards that are shown: first those without a primary, then those without a standby that is ready."""
    hit = [row for row in rows if not row.whole]
    return sorted(
        hit, key=lambda row: (row.roles.primary is not None, row.roles.standby is not None, row.index)
    )[:ROWS]


def _other_replicas(rows: Sequence[ReplicaRow]) -> str:
    """Return the states and extremes of replicas that are not shown; nothing if all are."""
    if not rows:
        return ""
    states = Counter(row.state for row in rows)
    stale = [row.staleness for row in rows if row.staleness is not None]
    parts = [
        ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())),
        f"steps/s {_range((row.step_rate for row in rows), '.1f')}",
        *([f"staleness {_range(stale, '.1f')}"] if stale else []),
        f"waited {_range((row.waited for row in rows), '.0%')}",
    ]
    return f"{len(rows):,} more replicas: {'  '.join(parts)}"


def _other_shards(rows: Sequence[ShardRow], shown: int) -> str:
    """Return the standbys and extremes of shards that are not shown; nothing if all are."""
    if not rows:
        return ""
    standbys = Counter(row.standby if row.roles.primary is not None else "no primary" for row in rows)
    counts = ", ".join(f"{count:,} {standby}" for standby, count in sorted(standbys.items()))
    return (
        f"{len(rows):,} {'more ' if shown else ''}shards: standbys {counts}  "
        f"term {_range((row.roles.term for row in rows), ',')}  "
        f"updates {_range((row.updates for row in rows), ',')}"
    )


def tiles_in_short(row: ReplicaRow) -> str:
    """Return how many tiles of a replica are on how many workers, which nobody computes, and which one is slow."""
    workers = {worker for worker in row.workers if worker is not None}
    text = f"{len(row.workers):,} on {len(workers):,} workers"
    if row.vacant:
        text += f"; nobody computes {names(map(str, row.vacant), ROWS)}"
    if row.slowest is not None and row.slowest.tile < len(row.workers):
        slow = row.slowest
        text += (
            f"; slowest {slow.tile} ({row.workers[slow.tile] or '-'}) in {slow.steps} of {slow.among} steps"
        )
    return text


def names(found: Iterable[str], shown: int) -> str:
    """Return the first names, and how many more there are."""
    every = list(found)
    more = len(every) - shown
    return ", ".join(every[:shown]) + (f" and {more:,} more" if more > 0 else "")


def _range(values: Iterable[float], form: str) -> str:
    """Return the least and the largest value, once if they look the same."""
    every = list(values)
    least, most = f"{min(every):{form}}", f"{max(every):{form}}"
    return least if least == most else f"{least} to {most}"
