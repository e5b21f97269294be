"""Pushes: a primary logs each update once, and acknowledges it when the standby has it, too."""

from __future__ import annotations

from dataclasses import replace

from . import follower as following
from .instructions import Duplicate, Instruction, Measure, Send, Transition
from .ledger import Ledger
from .messages import Push, PushAck, PushedUpdate
from .primary import PendingAck, Primary
from .updates import Update


def push(state: Primary, now: float, sender: str, message: Push) -> Transition[Primary]:
    """Log an update unless it was logged before; acknowledge it in both cases."""
    assert state.ledger is not None
    instructions: tuple[Instruction, ...] = (Duplicate(state.role, message.update),)
    if message.update not in state.ledger or not state.rules.dedupe:
        live = state.assignment.roster.find(message.fence.slot)
        age = max(0, state.ledger.head - message.version)
        low_water = live.start if live is not None else 0
        part = PushedUpdate(message.update, message.fence.generation, message.payload, age, low_water)
        state, instructions = take(state, part, now)
    assert state.ledger is not None
    before = state.pending_acks.get(message.update)
    position = state.ledger.head if before is None else before.position
    pending_acks = {**state.pending_acks, message.update: PendingAck(position, sender, message.fence)}
    return replace(state, pending_acks=pending_acks), instructions


def take(
    state: Primary, part: PushedUpdate | None, now: float, norms: tuple[float, ...] = ()
) -> Transition[Primary]:
    assert state.ledger is not None
    ledger, entry, applies = state.ledger.take(part, norms)
    state = replace(state, ledger=ledger)
    if state.follower is None:
        return state, applies
    follower, sends = following.add(state.follower, entry, now)
    return replace(state, follower=follower), applies + sends


def commit(state: Primary, now: float) -> Transition[Primary]:
    """Synchronous: apply the staged step once the coordinator has seen it staged at every shard."""
    assert state.ledger is not None
    if state.assignment.commit <= state.ledger.committed or len(state.ledger.staged) < state.spec.replicas:
        return state, ()
    return take(state, None, now, state.assignment.norms)


def measure(state: Primary, now: float) -> Transition[Primary]:
    """Synchronous, where it is clipped: measure a step once all its parts are staged here."""
    assert state.ledger is not None
    ledger = state.ledger
    if (
        not state.spec.norms
        or state.measuring == ledger.committed
        or len(ledger.staged) < state.spec.replicas
    ):
        return state, ()
    measured = Measure(state.role, ledger.committed, ledger.step)
    return replace(state, measuring=ledger.committed), (measured,)


def norms(state: Primary) -> tuple[float, ...]:
    """Return the squared norms of the step to be committed next, none if they are not known yet."""
    step, found = state.measured
    return found if state.ledger is not None and step == state.ledger.committed else ()


def release(state: Primary, now: float) -> Transition[Primary]:
    """Acknowledge what is safe."""
    safe = _safe(state)
    assert state.ledger is not None
    ready = {update: ack for update, ack in state.pending_acks.items() if ack.position <= safe}
    if not ready or not state.leased(now):
        return state, ()
    durable = state.assignment.ready or not state.rules.standby_ack
    sends = tuple(
        Send(ack.to, _push_ack(state.ledger, update, ack, durable), state.deadline)
        for update, ack in ready.items()
    )
    rest = {update: ack for update, ack in state.pending_acks.items() if update not in ready}
    acknowledged = max(state.acknowledged, *(ack.position for ack in ready.values()))
    return replace(state, pending_acks=rest, acknowledged=acknowledged), sends


def _push_ack(ledger: Ledger, update: Update, ack: PendingAck, durable: bool) -> PushAck:
    generation = None if ledger.synchronous else ledger.updates.generation(update)
    return PushAck(
        ack.fence,
        update,
        ack.fence.generation if generation is None else generation,
        durable,
    )


def _safe(state: Primary) -> int:
    """Return the last entry that may be acknowledged."""
    assert state.ledger is not None
    follower = state.follower
    if not state.rules.standby_ack:
        return state.ledger.safe
    if not state.assignment.ready and state.spec.durability == "standby":
        return -1  # nobody would promote the standby yet
    if follower is None or follower.acknowledged < 0:
        return state.ledger.safe
    return min(state.ledger.safe, follower.acknowledged)  # even if not ready: it would never catch up


def safely_staged(state: Primary) -> tuple[int, ...]:
    """Return the staged parts that would survive the loss of this process."""
    ledger = state.ledger
    if ledger is None or not ledger.staged:
        return ()
    first = ledger.head - len(ledger.staged) + 1
    safe = _safe(state)
    return tuple(sorted(part.update.slot for i, part in enumerate(ledger.staged) if first + i <= safe))
