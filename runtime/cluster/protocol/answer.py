"""Fetches: a primary answers a replica when the updates of the others that it must not miss are in."""

from __future__ import annotations

from dataclasses import replace

from .events import ReadDone
from .instructions import Instruction, Read, Send
from .messages import (
    Params,
    Pull,
)
from .primary import Fetch, Primary, Step


def pull(state: Primary, sender: str, message: Pull) -> Step:
    """Remember a fetch; asked again while it waits, it goes on waiting."""
    slot = message.fence.slot
    before = state.fetches.get(slot)
    if before is not None and (before.step, before.fence) == (message.step, message.fence):
        return state, ()
    return replace(state, fetches={**state.fetches, slot: Fetch(sender, message.fence, message.step)}), ()


def read(state: Primary, now: float) -> Step:
    assert state.ledger is not None
    reads: list[Instruction] = []
    for slot, fetch in state.fetches.items():
        if fetch.ticket or not _answerable(state, fetch, now):
            continue
        ticket = state.tickets + 1
        reads.append(Read(state.owner, ticket))
        fetch = replace(fetch, ticket=ticket, version=state.ledger.head)
        state = replace(state, tickets=ticket, fetches={**state.fetches, slot: fetch})
    return state, tuple(reads)


def answer(state: Primary, done: ReadDone) -> Step:
    """Send what was read, if the lease and the bound on staleness still hold; else wait and read again."""
    found = [(slot, fetch) for slot, fetch in state.fetches.items() if fetch.ticket == done.ticket]
    if not found:
        return state, ()
    slot, fetch = found[0]
    if not _answerable(state, fetch, done.now):
        return replace(state, fetches={**state.fetches, slot: replace(fetch, ticket=0)}), ()
    rest = {other: kept for other, kept in state.fetches.items() if other != slot}
    params = Params(fetch.fence, fetch.step, fetch.version, done.payload)
    return replace(state, fetches=rest), (Send(fetch.to, params, state.deadline),)


def _answerable(state: Primary, fetch: Fetch, now: float) -> bool:
    assert state.ledger is not None
    if not state.leased(now):
        return False
    if state.spec.synchronous:
        return state.ledger.committed == fetch.step
    needed, slots = state.spec.updates_needed(fetch.step), state.ledger.seen.slots
    return all(max(slots[live.slot].floor, live.start) >= needed for live in state.duty.roster.live)
