"""The primary of a shard: orders updates, acknowledges them, answers fetches, keeps a standby filled.

    Push ---> take a line ---> Apply ------------> Applied --+
                   |                                         +--> Pushed
                   +---> Log ---> standby ---> Held ---------+
    Pull ---> wait for the others (staleness) ---> Read ---> ReadDone ---> Params

Nothing leaves for a replica but under a lease that has not expired by this process's own clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from . import acknowledge as acknowledging
from . import answer as answering
from . import follower as following
from .events import Applied, CheckpointSaved, Installed, Owner, ReadDone, Received, SnapshotTaken, WorkerEvent
from .instructions import InstallCheckpoint, Instruction, Refused, SaveShard
from .ledger import Ledger
from .messages import (
    Books,
    Held,
    PrimaryDuty,
    PrimaryStatus,
    Promoted,
    Pull,
    Push,
    Restored,
    Saved,
)
from .primary import Primary, Step
from .seen import Seen, Update
from .spec import Rules, Spec
from .standby import Standby


def begin(spec: Spec, rules: Rules, owner: Owner, duty: PrimaryDuty, lease_until: float) -> Step:
    """Become the primary of a shard that is loaded from a checkpoint."""
    assert isinstance(duty.origin, Restored)
    state = Primary(spec, rules, owner, duty, lease_until)
    return state, (InstallCheckpoint(owner, duty.origin.checkpoint),)


def promote(standby: Standby, duty: PrimaryDuty, lease_until: float) -> Primary:
    """Go on as the primary with what a standby holds."""
    assert isinstance(duty.origin, Promoted)
    assert standby.ledger is not None, "only a filled standby is promoted"
    return Primary(
        standby.spec,
        standby.rules,
        standby.owner,
        duty,
        lease_until,
        ledger=standby.ledger,
        released=standby.ledger.head,
    )


def ordered(state: Primary, now: float, duty: PrimaryDuty, lease_until: float) -> Step:
    """Take the coordinator's word: standby, live replicas, commit, checkpoint, lease."""
    generations = {live.slot: live.generation for live in duty.roster.live}
    current = {u: o for u, o in state.owed.items() if generations.get(o.fence.slot) == o.fence.generation}
    waiting = {s: f for s, f in state.fetches.items() if generations.get(s) == f.fence.generation}
    lease_until = max(lease_until, state.lease_until)
    return settle(replace(state, duty=duty, lease_until=lease_until, owed=current, fetches=waiting), now)


def retire(state: Primary) -> Primary:
    """Keep only what is held: nobody is answered any more."""
    return replace(state, follower=None, owed={}, fetches={}, lease_until=-inf)


def step(state: Primary, event: WorkerEvent) -> Step:
    state, first = _react(state, event)
    state, then = settle(state, event.now)
    return state, first + then


def _react(state: Primary, event: WorkerEvent) -> Step:
    match event:
        case Received(_, sender, Push() | Pull() as message):
            if reason := _refusal(state, message):
                return state, (Refused(reason, message),)
            if isinstance(message, Pull):
                return answering.pull(state, sender, message)
            return acknowledging.push(state, event.now, sender, message)
        case Received(_, _, Held() as message):
            return _held(state, message, event.now)
        case Installed(_, _, books):
            return _installed(state, books), ()
        case Applied(_, _, position) if state.ledger is not None:
            return replace(state, ledger=replace(state.ledger, applied=position)), ()
        case ReadDone():
            return answering.answer(state, event)
        case SnapshotTaken():
            if state.follower is None or state.follower.filling != event.filling:
                return state, ()
            follower, sends = following.snapshot_taken(state.follower, event.payload, event.now)
            return replace(state, follower=follower), sends
        case CheckpointSaved(_, _, id, digest, reason) if id == state.saving:
            return replace(state, saved=Saved(id, digest, reason, state.saving_seen)), ()
    return state, ()


def settle(state: Primary, now: float) -> Step:
    """Do all that has become possible."""
    if state.ledger is None:
        return state, ()
    done: tuple[Instruction, ...] = ()
    actions: tuple[Callable[[Primary, float], Step], ...] = (
        acknowledging.commit,
        _save,
        _follow,
        acknowledging.release,
        answering.read,
    )
    for action in actions:
        state, more = action(state, now)
        done += more
    return state, done


def status(state: Primary) -> PrimaryStatus:
    """Return the status for the coordinator."""
    ledger = state.ledger
    return PrimaryStatus(
        state.duty.shard,
        state.duty.term,
        state.follower.filling if state.follower is not None and state.follower.ready else None,
        state.duty.roster.version if ledger is not None else -1,
        ledger.committed if ledger is not None else -1,
        acknowledging.safely_staged(state),
        state.saved,
        state.found,
    )


def _refusal(state: Primary, message: Push | Pull) -> str:
    """Return why a message is not for this primary now, or nothing."""
    fence, live = message.fence, state.duty.roster.find(message.fence.slot)
    if state.rules.fence and fence.term != state.duty.term:
        return "of another term"
    if state.rules.fence and (live is None or live.generation != fence.generation):
        return "of another generation"
    if isinstance(message, Push) and not _is_update(state.spec, fence.slot, message.update):
        return "of no such update"
    return "" if state.ledger is not None else "not loaded yet"


def _is_update(spec: Spec, sender: int, update: Update) -> bool:
    """Tell whether a replica may send an update at all; synchronous, it may be the part of another one."""
    return 0 <= update.slot < spec.replicas if spec.synchronous else update.slot == sender


def _installed(state: Primary, books: Books | None) -> Primary:
    books = books or Books(0, state.duty.commit, Seen.nothing(state.spec.replicas))
    ledger = Ledger.opened(state.owner, state.spec.synchronous, books)
    return replace(state, ledger=ledger, found=books.seen, released=books.head)


# --- standby and checkpoint ----------------------------------------------------------------------------------------


def _follow(state: Primary, now: float) -> Step:
    """Begin to fill a new standby, forget one that was dropped, send again what it has not confirmed."""
    assert state.ledger is not None
    wanted, follower = state.duty.standby, state.follower
    if wanted is None:
        return (state if follower is None else replace(state, follower=None)), ()
    if follower is None or (follower.worker, follower.filling) != wanted:
        fresh, instructions = following.begin(state.owner, state.spec.run, state.duty, state.ledger)
        return replace(state, follower=fresh), instructions
    promised = state.ledger.head if state.spec.synchronous else state.released
    if not follower.ready and follower.held >= max(0, promised):
        follower = replace(follower, ready=True)
    follower, sends = following.resend(follower, now, state.spec.times.retry)
    return replace(state, follower=follower), sends


def _held(state: Primary, message: Held, now: float) -> Step:
    follower = state.follower
    if follower is None or message.fence != follower.fence:
        return state, (Refused("of another filling", message),)
    follower, sends = following.held(follower, message.head, now)
    return replace(state, follower=follower), sends


def _save(state: Primary, now: float) -> Step:
    """Save the shard for a checkpoint, synchronous: at its step, which a new primary may find passed."""
    assert state.ledger is not None
    request, ledger = state.duty.checkpoint, state.ledger
    if request is None or request.id <= state.saving:
        return state, ()
    if request.at is not None and ledger.committed < request.at:
        return state, ()
    state = replace(state, saving=request.id, saving_seen=ledger.seen)
    if request.at is not None and ledger.committed > request.at:
        return replace(state, saved=Saved(request.id, None, "the step has passed")), ()
    return state, (SaveShard(state.owner, request.id, ledger.books),)
