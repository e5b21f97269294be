"""A standby: filled with the primary's snapshot, then takes the primary's log line by line, until it is promoted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .events import Applied, Owner, Received, WorkerEvent
from .instructions import InstallSnapshot, Instruction, Refused, Send
from .ledger import Ledger
from .messages import Fill, Held, Log, Pair
from .spec import Rules, Spec

Step = tuple["Standby", tuple[Instruction, ...]]


@dataclass(frozen=True, slots=True)
class Standby:
    """`ledger` None: not filled yet."""

    spec: Spec
    rules: Rules
    owner: Owner
    fence: Pair
    ledger: Ledger | None = None


def step(state: Standby, event: WorkerEvent) -> Step:
    """Take snapshot and log from the primary; every answer says how far the log goes, so a lost one does not matter."""
    match event:
        case Received(_, sender, Fill() | Log() as message):
            if state.rules.fence and message.fence != state.fence:
                return state, (Refused("of another primary", message),)
            return (
                _filled(state, sender, message)
                if isinstance(message, Fill)
                else _logged(state, sender, message)
            )
        case Applied(_, _, position) if state.ledger is not None:
            return replace(state, ledger=replace(state.ledger, applied=position)), ()
    return state, ()


def _filled(state: Standby, sender: str, fill: Fill) -> Step:
    if state.ledger is not None:
        return state, (_held(state, state.ledger, sender),)
    ledger = Ledger.opened(state.owner, state.spec.synchronous, fill.books)
    ledger = replace(ledger, staged=fill.staged)
    install = InstallSnapshot(state.owner, fill.payload)
    return replace(state, ledger=ledger), (install, _held(state, ledger, sender))


def _logged(state: Standby, sender: str, log: Log) -> Step:
    """Take the lines that come next; the others were taken before, or will be sent again."""
    if state.ledger is None:
        return state, ()
    ledger, done = state.ledger, list[Instruction]()
    for entry in log.entries:
        if entry.position == ledger.head + 1:
            ledger, _, instructions = ledger.take(entry.part)
            done += instructions
    return replace(state, ledger=ledger), (*done, _held(state, ledger, sender))


def _held(state: Standby, ledger: Ledger, sender: str) -> Send:
    return Send(sender, Held(state.fence, ledger.head))
