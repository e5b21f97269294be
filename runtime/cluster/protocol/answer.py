"""Pulls: a primary answers a tile when all updates are in that `staleness` asks for."""

from __future__ import annotations

from dataclasses import replace

from .events import ParamsRead
from .instructions import Instruction, ReadParams, Send, Transition
from .messages import (
    Pull,
    PullReply,
)
from .primary import PendingPull, Primary


def pull(state: Primary, sender: str, message: Pull) -> Transition[Primary]:
    """Remember a pull; one that is repeated goes on waiting."""
    slot = message.fence.slot
    before = state.pending_pulls.get(slot)
    if before is not None and (before.step, before.fence) == (message.step, message.fence):
        return state, ()
    return replace(
        state, pending_pulls={**state.pending_pulls, slot: PendingPull(sender, message.fence, message.step)}
    ), ()


def read(state: Primary, now: float) -> Transition[Primary]:
    assert state.ledger is not None
    reads: list[Instruction] = []
    for slot, fetch in state.pending_pulls.items():
        if fetch.ticket or not _answerable(state, fetch, now):
            continue
        ticket = state.tickets + 1
        reads.append(ReadParams(state.role, ticket))
        fetch = replace(fetch, ticket=ticket, version=state.ledger.head)
        state = replace(state, tickets=ticket, pending_pulls={**state.pending_pulls, slot: fetch})
    return state, tuple(reads)


def answer(state: Primary, done: ParamsRead) -> Transition[Primary]:
    """Send what was read, if the lease and the bound on staleness still hold; else wait and read again."""
    found = [(slot, fetch) for slot, fetch in state.pending_pulls.items() if fetch.ticket == done.ticket]
    if not found:
        return state, ()
    slot, fetch = found[0]
    if not _answerable(state, fetch, done.now):
        return replace(state, pending_pulls={**state.pending_pulls, slot: replace(fetch, ticket=0)}), ()
    rest = {other: kept for other, kept in state.pending_pulls.items() if other != slot}
    params = PullReply(fetch.fence, fetch.step, fetch.version, done.payload)
    return replace(state, pending_pulls=rest), (Send(fetch.to, params, state.deadline),)


def _answerable(state: Primary, fetch: PendingPull, now: float) -> bool:
    assert state.ledger is not None
    if not state.leased(now):
        return False
    if state.spec.synchronous:
        return state.ledger.committed == fetch.step
    needed, slots = state.spec.updates_needed(fetch.step), state.ledger.updates.slots
    return all(max(slots[live.slot].low_water, live.start) >= needed for live in state.assignment.roster.live)
