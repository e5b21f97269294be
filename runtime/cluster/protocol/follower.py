"""A standby as its primary sees it: it gets a snapshot in the background, then the log as it grows.

begin          TakeSnapshot; entries from now on are kept for it
snapshot_taken InstallSnapshot
ack            it has everything up to an entry: those are forgotten, the others sent
add            AppendEntries with the new one, at once
resend         what was not acknowledged in time goes out again
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from .events import RoleId
from .instructions import Send, TakeSnapshot, Transition
from .ledger import Ledger
from .messages import (
    AppendEntries,
    InstallSnapshot,
    LogEntry,
    Payload,
    PrimaryAssignment,
    PushedUpdate,
    ShardMetadata,
    StandbyFence,
)
from .retry import DOUBLINGS, wait


@dataclass(frozen=True, slots=True)
class Follower:
    """`acknowledged`: the last entry that it has, -1: it has not acknowledged the snapshot; `unacknowledged`: those after.

    `ready`: it has once had all that was acknowledged to tiles; from then on nothing is acknowledged before it has it.
    `doublings`: of the wait for its acks, one less whenever it has acknowledged all and nothing was sent `again`.
    """

    worker: str
    fence: StandbyFence
    metadata: ShardMetadata
    staged: tuple[PushedUpdate, ...]
    snapshot: InstallSnapshot | None = None
    acknowledged: int = -1
    unacknowledged: tuple[LogEntry, ...] = ()
    sent: float = 0.0
    doublings: int = 0
    again: bool = False
    ready: bool = False

    @property
    def incarnation(self) -> int:
        return self.fence.incarnation


def begin(role: RoleId, run: str, assignment: PrimaryAssignment, ledger: Ledger) -> Transition[Follower]:
    assert assignment.standby is not None
    worker, incarnation = assignment.standby
    fence = StandbyFence(run, assignment.shard, assignment.term, incarnation)
    return Follower(worker, fence, ledger.metadata, ledger.staged), (TakeSnapshot(role, incarnation),)


def snapshot_taken(follower: Follower, payload: Payload, now: float) -> Transition[Follower]:
    snapshot = InstallSnapshot(follower.fence, follower.metadata, follower.staged, payload)
    return replace(follower, snapshot=snapshot, sent=now), (Send(follower.worker, snapshot),)


def ack(follower: Follower, head: int, now: float) -> Transition[Follower]:
    """Forget what the standby has; its first ack is that of the snapshot, and all entries kept so far go out."""
    first = follower.acknowledged < 0
    rest = tuple(entry for entry in follower.unacknowledged if entry.position > head)
    if head > follower.acknowledged:  # the wait for the rest begins again
        follower = replace(follower, acknowledged=head, snapshot=None, unacknowledged=rest, sent=now)
    if not rest:
        doublings = follower.doublings if follower.again else max(0, follower.doublings - 1)
        follower = replace(follower, doublings=doublings, again=False)
    return _send_entries(follower, now) if first and rest else (follower, ())


def add(follower: Follower, entry: LogEntry, now: float) -> Transition[Follower]:
    waiting = bool(follower.unacknowledged)
    follower = replace(follower, unacknowledged=(*follower.unacknowledged, entry))
    if follower.acknowledged < 0:
        return follower, ()
    sent = follower.sent if waiting else now
    return replace(follower, sent=sent), (Send(follower.worker, AppendEntries(follower.fence, (entry,))),)


def resend(follower: Follower, now: float, retry: float) -> Transition[Follower]:
    if now < wakes(follower, retry):
        return follower, ()
    follower = replace(follower, doublings=min(follower.doublings + 1, DOUBLINGS), again=True)
    if follower.snapshot is not None:
        return replace(follower, sent=now), (Send(follower.worker, follower.snapshot),)
    return _send_entries(follower, now)


def wakes(follower: Follower | None, retry: float) -> float:
    """Return when something must be sent again; infinity: nothing is under way."""
    if follower is None:
        return inf
    if follower.snapshot is not None or (follower.acknowledged >= 0 and follower.unacknowledged):
        return follower.sent + wait(retry, follower.doublings)
    return inf


def _send_entries(follower: Follower, now: float) -> Transition[Follower]:
    return replace(follower, sent=now), (
        Send(follower.worker, AppendEntries(follower.fence, follower.unacknowledged)),
    )
