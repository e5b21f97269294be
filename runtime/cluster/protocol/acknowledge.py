"""Updates: a primary takes each once, and acknowledges it when the standby has it, too."""

from __future__ import annotations

from dataclasses import replace

from . import follower as following
from .instructions import Instruction, Send, Skipped
from .ledger import Ledger
from .messages import Part, Push, Pushed
from .primary import Owed, Primary, Step
from .seen import Update


def push(state: Primary, now: float, sender: str, message: Push) -> Step:
    """Take an update, unless it was taken before; owe its acknowledgement in both cases."""
    assert state.ledger is not None
    instructions: tuple[Instruction, ...] = (Skipped(state.owner, message.update),)
    if message.update not in state.ledger or not state.rules.dedupe:
        live = state.duty.roster.find(message.fence.slot)
        age = max(0, state.ledger.head - message.version)
        floor = live.start if live is not None else 0
        part = Part(message.update, message.fence.generation, message.payload, age, floor)
        state, instructions = take(state, part, now)
    assert state.ledger is not None
    before = state.owed.get(message.update)
    position = state.ledger.head if before is None else before.position
    owed = {**state.owed, message.update: Owed(position, sender, message.fence)}
    return replace(state, owed=owed), instructions


def take(state: Primary, part: Part | None, now: float) -> Step:
    assert state.ledger is not None
    ledger, entry, applies = state.ledger.take(part)
    state = replace(state, ledger=ledger)
    if state.follower is None:
        return state, applies
    follower, sends = following.add(state.follower, entry, now)
    return replace(state, follower=follower), applies + sends


def commit(state: Primary, now: float) -> Step:
    """Synchronous: apply the staged step once the coordinator has seen it staged at every shard."""
    assert state.ledger is not None
    if state.duty.commit <= state.ledger.committed or len(state.ledger.staged) < state.spec.replicas:
        return state, ()
    return take(state, None, now)


def release(state: Primary, now: float) -> Step:
    """Acknowledge what is safe."""
    safe = _safe(state)
    assert state.ledger is not None
    ready = {update: owed for update, owed in state.owed.items() if owed.position <= safe}
    if not ready or not state.leased(now):
        return state, ()
    durable = state.duty.ready or not state.rules.standby_ack
    sends = tuple(
        Send(owed.to, _pushed(state.ledger, update, owed, durable), state.deadline)
        for update, owed in ready.items()
    )
    rest = {update: owed for update, owed in state.owed.items() if update not in ready}
    released = max(state.released, *(owed.position for owed in ready.values()))
    return replace(state, owed=rest, released=released), sends


def _pushed(ledger: Ledger, update: Update, owed: Owed, durable: bool) -> Pushed:
    generation = None if ledger.synchronous else ledger.seen.generation(update)
    return Pushed(owed.fence, update, owed.fence.generation if generation is None else generation, durable)


def _safe(state: Primary) -> int:
    """Return the last line that may be acknowledged."""
    assert state.ledger is not None
    follower = state.follower
    if not state.rules.standby_ack:
        return state.ledger.safe
    if not state.duty.ready and state.spec.durability == "standby":
        return -1  # nobody would promote the standby yet
    if follower is None or follower.held < 0:
        return state.ledger.safe
    return min(state.ledger.safe, follower.held)  # even if not ready: it would run after us for ever


def safely_staged(state: Primary) -> tuple[int, ...]:
    """Return the staged parts that the loss of this process would not lose."""
    ledger = state.ledger
    if ledger is None or not ledger.staged:
        return ()
    first = ledger.head - len(ledger.staged) + 1
    safe = _safe(state)
    return tuple(sorted(part.update.slot for i, part in enumerate(ledger.staged) if first + i <= safe))
