"""A standby as its primary sees it: filled by snapshot and log in the background, then kept up with.

begin          TakeSnapshot; lines taken from now on are kept for it
snapshot_taken Fill
held           it has everything up to a line: those are forgotten, the others sent
add            a new line goes out at once
resend         what was not confirmed in time goes out again
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from .events import Owner
from .instructions import Instruction, Send, TakeSnapshot
from .ledger import Ledger
from .messages import Books, Entry, Fill, Log, Pair, Part, Payload, PrimaryDuty
from .retry import DOUBLINGS, wait

Step = tuple["Follower", tuple[Instruction, ...]]


@dataclass(frozen=True, slots=True)
class Follower:
    """`held`: the last line that it confirmed, -1: it has not confirmed the snapshot; `log`: the lines after that.

    `ready`: it has held all that was promised to anybody, since when no promise is made ahead of it. `doublings`: of the
    wait for its answers, one less whenever it has confirmed everything and nothing was sent `again` for that.
    """

    worker: str
    fence: Pair
    books: Books
    staged: tuple[Part, ...]
    fill: Fill | None = None
    held: int = -1
    log: tuple[Entry, ...] = ()
    sent: float = 0.0
    doublings: int = 0
    again: bool = False
    ready: bool = False

    @property
    def filling(self) -> int:
        return self.fence.filling


def begin(owner: Owner, run: str, duty: PrimaryDuty, ledger: Ledger) -> Step:
    assert duty.standby is not None
    worker, filling = duty.standby
    fence = Pair(run, duty.shard, duty.term, filling)
    return Follower(worker, fence, ledger.books, ledger.staged), (TakeSnapshot(owner, filling),)


def snapshot_taken(follower: Follower, payload: Payload, now: float) -> Step:
    fill = Fill(follower.fence, follower.books, follower.staged, payload)
    return replace(follower, fill=fill, sent=now), (Send(follower.worker, fill),)


def held(follower: Follower, head: int, now: float) -> Step:
    """The first confirmation ends the filling: all lines kept so far go out."""
    first = follower.held < 0
    log = tuple(entry for entry in follower.log if entry.position > head)
    if head > follower.held:  # the wait for the rest begins again
        follower = replace(follower, held=head, fill=None, log=log, sent=now)
    if not log:
        doublings = follower.doublings if follower.again else max(0, follower.doublings - 1)
        follower = replace(follower, doublings=doublings, again=False)
    return _send_log(follower, now) if first and log else (follower, ())


def add(follower: Follower, entry: Entry, now: float) -> Step:
    waiting = bool(follower.log)
    follower = replace(follower, log=(*follower.log, entry))
    if follower.held < 0:
        return follower, ()
    sent = follower.sent if waiting else now
    return replace(follower, sent=sent), (Send(follower.worker, Log(follower.fence, (entry,))),)


def resend(follower: Follower, now: float, retry: float) -> Step:
    if now < wakes(follower, retry):
        return follower, ()
    follower = replace(follower, doublings=min(follower.doublings + 1, DOUBLINGS), again=True)
    if follower.fill is not None:
        return replace(follower, sent=now), (Send(follower.worker, follower.fill),)
    return _send_log(follower, now)


def wakes(follower: Follower | None, retry: float) -> float:
    """Return when something must be sent again; infinity: nothing is under way."""
    if follower is None:
        return inf
    if follower.fill is not None or (follower.held >= 0 and follower.log):
        return follower.sent + wait(retry, follower.doublings)
    return inf


def _send_log(follower: Follower, now: float) -> Step:
    return replace(follower, sent=now), (Send(follower.worker, Log(follower.fence, follower.log)),)
