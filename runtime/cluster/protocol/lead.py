"""The primary of a shard: orders updates, acknowledges them, answers fetches, replicates its log to a standby.

    Push ---> log entry ---> Apply --------------------> Applied -----+
                  |                                                   +--> PushAck
                  +---> AppendEntries ---> standby ---> AppendAck ----+
    Pull ---> wait for the others (staleness) ---> ReadParams ---> ParamsRead ---> PullReply

Nothing leaves for a replica but under a lease that has not expired by this process's own clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from . import acknowledge as acknowledging
from . import answer as answering
from . import follower as following
from .events import (
    Applied,
    CheckpointLoaded,
    Measured,
    ParamsRead,
    Received,
    RoleId,
    ShardSaved,
    SnapshotTaken,
    WorkerEvent,
)
from .instructions import Instruction, LoadCheckpoint, Refused, SaveShard, Transition
from .ledger import Ledger
from .messages import (
    AppendAck,
    PrimaryAssignment,
    PrimaryStatus,
    Promoted,
    Pull,
    Push,
    Restored,
    SavedShard,
    ShardMetadata,
    TileFence,
)
from .primary import Primary
from .spec import Rules, Spec
from .standby import Standby
from .updates import AppliedUpdates, Update, UpdateNumbers


def begin(
    spec: Spec, rules: Rules, role: RoleId, assignment: PrimaryAssignment, lease_until: float
) -> Transition[Primary]:
    """Become the primary of a shard that is loaded from a checkpoint."""
    assert isinstance(assignment.origin, Restored)
    state = Primary(spec, rules, role, assignment, lease_until)
    return state, (LoadCheckpoint(role, assignment.origin.checkpoint),)


def promote(standby: Standby, assignment: PrimaryAssignment, lease_until: float) -> Primary:
    """Go on as the primary with what a standby holds."""
    assert isinstance(assignment.origin, Promoted)
    assert standby.ledger is not None, "only a standby with a snapshot is promoted"
    return Primary(
        standby.spec,
        standby.rules,
        standby.role,
        assignment,
        lease_until,
        ledger=standby.ledger,
        acknowledged=standby.ledger.head,
    )


def reconcile(
    state: Primary, now: float, assignment: PrimaryAssignment, lease_until: float
) -> Transition[Primary]:
    """Take a new assignment: standby, live replicas, commit, checkpoint, lease.

    What was asked in an earlier term or generation is not answered any more: tiles ask again. The term is another one where
    the primary was reinstated before it knew that it had retired.
    """
    generations = {live.slot: live.generation for live in assignment.roster.live}

    def present(fence: TileFence) -> bool:
        return fence.term == assignment.term and generations.get(fence.slot) == fence.generation

    current = {update: ack for update, ack in state.pending_acks.items() if present(ack.fence)}
    waiting = {slot: pull for slot, pull in state.pending_pulls.items() if present(pull.fence)}
    lease_until = max(lease_until, state.lease_until)
    return settle(
        replace(
            state, assignment=assignment, lease_until=lease_until, pending_acks=current, pending_pulls=waiting
        ),
        now,
    )


def retire(state: Primary) -> Primary:
    """Keep only the state: nobody is answered any more."""
    return replace(state, follower=None, pending_acks={}, pending_pulls={}, lease_until=-inf)


def step(state: Primary, event: WorkerEvent) -> Transition[Primary]:
    state, first = _react(state, event)
    state, then = settle(state, event.now)
    return state, first + then


def _react(state: Primary, event: WorkerEvent) -> Transition[Primary]:
    match event:
        case Received(_, sender, Push() | Pull() as message):
            if reason := _refusal(state, message):
                return state, (Refused(reason, message),)
            if isinstance(message, Pull):
                return answering.pull(state, sender, message)
            return acknowledging.push(state, event.now, sender, message)
        case Received(_, _, AppendAck() as message):
            return _ack(state, message, event.now)
        case CheckpointLoaded(_, _, metadata):
            return _installed(state, metadata), ()
        case Applied(_, _, position) if state.ledger is not None:
            return replace(state, ledger=replace(state.ledger, applied=position)), ()
        case Measured(_, _, step, norms):
            return replace(state, measured=(step, norms)), ()
        case ParamsRead():
            return answering.answer(state, event)
        case SnapshotTaken():
            if state.follower is None or state.follower.incarnation != event.incarnation:
                return state, ()
            follower, sends = following.snapshot_taken(state.follower, event.payload, event.now)
            return replace(state, follower=follower), sends
        case ShardSaved(_, _, id, digest, reason) if id == state.saving:
            return replace(state, saved=SavedShard(id, digest, reason, _numbers(state.saving_updates))), ()
    return state, ()


def settle(state: Primary, now: float) -> Transition[Primary]:
    """Do all that has become possible."""
    if state.ledger is None:
        return state, ()
    done: tuple[Instruction, ...] = ()
    actions: tuple[Callable[[Primary, float], Transition[Primary]], ...] = (
        acknowledging.commit,
        acknowledging.measure,
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
        state.assignment.shard,
        state.assignment.term,
        state.follower.incarnation if state.follower is not None and state.follower.ready else None,
        state.assignment.roster.version if ledger is not None else -1,
        ledger.committed if ledger is not None else -1,
        acknowledging.safely_staged(state),
        _asked_for(state),
        state.restored.numbers if state.assignment.declares and state.restored is not None else None,
        acknowledging.norms(state),
    )


def _asked_for(state: Primary) -> SavedShard | None:
    """Return what was saved for the checkpoint that is asked for."""
    request, saved = state.assignment.checkpoint, state.saved
    return saved if request is not None and saved is not None and saved.id == request.id else None


def _refusal(state: Primary, message: Push | Pull) -> str:
    """Return why a message is not for this primary now, or nothing."""
    fence, live = message.fence, state.assignment.roster.find(message.fence.slot)
    if state.rules.fence and fence.term != state.assignment.term:
        return "of another term"
    if state.rules.fence and (live is None or live.generation != fence.generation):
        return "of another generation"
    if isinstance(message, Push) and not _is_update(state.spec, fence.slot, message.update):
        return "of no such update"
    return "" if state.ledger is not None or isinstance(message, Pull) else "not loaded yet"


def _numbers(updates: AppliedUpdates | None) -> UpdateNumbers | None:
    return None if updates is None else updates.numbers


def _is_update(spec: Spec, sender: int, update: Update) -> bool:
    """Tell whether a replica may send an update at all; synchronous, it may be the part of another one."""
    return 0 <= update.slot < spec.replicas if spec.synchronous else update.slot == sender


def _installed(state: Primary, metadata: ShardMetadata | None) -> Primary:
    metadata = metadata or ShardMetadata(
        0, state.assignment.commit, AppliedUpdates.nothing(state.spec.replicas)
    )
    ledger = Ledger.opened(state.role, state.spec.synchronous, metadata)
    return replace(state, ledger=ledger, restored=metadata.updates, acknowledged=metadata.head)


# --- standby and checkpoint ----------------------------------------------------------------------------------------


def _follow(state: Primary, now: float) -> Transition[Primary]:
    """Begin to replicate to a new standby, forget one that was dropped, send again what it has not acknowledged."""
    assert state.ledger is not None
    wanted, follower = state.assignment.standby, state.follower
    if wanted is None:
        return (state if follower is None else replace(state, follower=None)), ()
    if follower is None or (follower.worker, follower.incarnation) != wanted:
        fresh, instructions = following.begin(state.role, state.spec.run, state.assignment, state.ledger)
        return replace(state, follower=fresh), instructions
    acknowledged = state.ledger.head if state.spec.synchronous else state.acknowledged
    if not follower.ready and follower.acknowledged >= max(0, acknowledged):
        follower = replace(follower, ready=True)
    follower, sends = following.resend(follower, now, state.spec.times.retry)
    return replace(state, follower=follower), sends


def _ack(state: Primary, message: AppendAck, now: float) -> Transition[Primary]:
    follower = state.follower
    if follower is None or message.fence != follower.fence:
        return state, (Refused("of another filling", message),)
    follower, sends = following.ack(follower, message.head, now)
    return replace(state, follower=follower), sends


def _save(state: Primary, now: float) -> Transition[Primary]:
    """Save the shard for a checkpoint, synchronous: at its step, which a new primary may find passed."""
    assert state.ledger is not None
    request, ledger = state.assignment.checkpoint, state.ledger
    if request is None or request.id <= state.saving:
        return state, ()
    if request.at is not None and ledger.committed < request.at:
        return state, ()
    state = replace(state, saving=request.id, saving_updates=ledger.updates)
    if request.at is not None and ledger.committed > request.at:
        return replace(state, saved=SavedShard(request.id, None, "the step has passed")), ()
    return state, (SaveShard(state.role, request.id, ledger.metadata),)
