"""A standby: installs the primary's snapshot, then appends the primary's log entry by entry, until it is promoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .events import Applied, Received, RoleId, WorkerEvent
from .instructions import Instruction, LoadSnapshot, Refused, Send, Transition
from .ledger import Ledger
from .messages import AppendAck, AppendEntries, InstallSnapshot, LogEntry, StandbyFence
from .spec import Rules, Spec


@dataclass(frozen=True, slots=True)
class Standby:
    """`ledger` None: no snapshot is installed yet; `early`: entries that came before others, by position."""

    spec: Spec
    rules: Rules
    role: RoleId
    fence: StandbyFence
    ledger: Ledger | None = None
    early: Mapping[int, LogEntry] = field(default_factory=dict)


def step(state: Standby, event: WorkerEvent) -> Transition[Standby]:
    """Take snapshot and log from the primary; every ack says how far the log goes, so losing one does no harm."""
    match event:
        case Received(_, sender, InstallSnapshot() | AppendEntries() as message):
            if state.rules.fence and message.fence != state.fence:
                return state, (Refused("of another primary", message),)
            return (
                _install(state, sender, message)
                if isinstance(message, InstallSnapshot)
                else _append(state, sender, message)
            )
        case Applied(_, _, position) if state.ledger is not None:
            return replace(state, ledger=replace(state.ledger, applied=position)), ()
    return state, ()


def _install(state: Standby, sender: str, snapshot: InstallSnapshot) -> Transition[Standby]:
    if state.ledger is not None:
        return state, (_ack(state, state.ledger, sender),)
    ledger = Ledger.opened(state.role, state.spec.synchronous, snapshot.metadata)
    ledger = replace(ledger, staged=snapshot.staged)
    install = LoadSnapshot(state.role, snapshot.payload)
    return replace(state, ledger=ledger), (install, _ack(state, ledger, sender))


def _append(state: Standby, sender: str, append: AppendEntries) -> Transition[Standby]:
    """Append the entries that come next, and keep those that have overtaken others until these are here."""
    if state.ledger is None:
        return state, ()
    ledger, done = state.ledger, list[Instruction]()
    early = {**state.early, **{entry.position: entry for entry in append.entries}}
    while ledger.head + 1 in early:
        ledger, _, instructions = ledger.take(early[ledger.head + 1].pushed, early[ledger.head + 1].norms)
        done += instructions
    early = {position: entry for position, entry in early.items() if position > ledger.head}
    return replace(state, ledger=ledger, early=early), (*done, _ack(state, ledger, sender))


def _ack(state: Standby, ledger: Ledger, sender: str) -> Send:
    return Send(sender, AppendAck(state.fence, ledger.head))
