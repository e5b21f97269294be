"""Links that are suspected: two workers that do not reach each other, while both reach the coordinator.

    named unreachable, both ends heard ----> suspected for 30 s ---> over ---+--> not named for as long again: forgotten
                                               ^                            |
                                               +------- twice as long ------+-- named again

A worker that ends, stands still or is cut off from all sends no heartbeats, so it is lost (coordinator.py), and none of
its links is suspected. Roles move off a suspected link, tiles in staffing.py and servers in servers.py, and new ones keep
off it. When the suspicion is over, the next roles that need the link try it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from .instructions import Note, Transition
from .table import Suspicion, Table

LONGEST = 600.0
"""Seconds for which a link that always comes back is suspected at most."""


def suspect(table: Table, now: float, worker: str, peers: Iterable[str]) -> Transition[Table]:
    """Suspect the links to the peers that a worker names."""
    done: tuple[Note, ...] = ()
    for peer in peers:
        pair = (min(worker, peer), max(worker, peer))
        known = table.suspicions.get(pair)
        if peer == worker or peer not in table.members or (known is not None and now < known.until):
            continue
        if table.rules.hear_both and not (_heard(table, now, worker) and _heard(table, now, peer)):
            continue
        seconds = _seconds(table, known)
        suspicions = {**table.suspicions, pair: Suspicion(now + seconds, seconds)}
        table = replace(table, suspicions=suspicions, apart=_apart(suspicions, now))
        done += (Note(f"{pair[0]} and {pair[1]} do not reach each other: kept apart for {seconds:g} s"),)
    return table, done


def relent(table: Table, now: float) -> Transition[Table]:
    """End suspicions that are over, and forget those that did not recur."""
    if not table.suspicions:
        return table, ()
    over = [pair for pair, found in table.suspicions.items() if found.until <= now and _active(table, pair)]
    kept = {pair: found for pair, found in table.suspicions.items() if now < found.until + found.seconds}
    if not over and len(kept) == len(table.suspicions):
        return table, ()
    notes = tuple(Note(f"{a} and {b} may be given roles that need each other again") for a, b in sorted(over))
    return replace(table, suspicions=kept, apart=_apart(kept, now)), notes


def _seconds(table: Table, known: Suspicion | None) -> float:
    if known is None or not table.rules.back_off:
        return table.spec.times.suspicion
    return min(2 * known.seconds, LONGEST)


def _heard(table: Table, now: float, worker: str) -> bool:
    """Tell whether a worker has been heard for `link_timeout` without a gap.

    One that has just stood still did not answer, so what it and others say of their links proves nothing.
    """
    contact, times = table.contacts[worker], table.spec.times
    return now - contact.heard <= times.max_heartbeat_gap and now - contact.steady >= times.link_timeout


def _active(table: Table, pair: tuple[str, str]) -> bool:
    return pair[1] in table.apart.get(pair[0], frozenset())


def _apart(suspicions: Mapping[tuple[str, str], Suspicion], now: float) -> dict[str, frozenset[str]]:
    apart: dict[str, frozenset[str]] = {}
    for (a, b), found in suspicions.items():
        if now < found.until:
            apart[a] = apart.get(a, frozenset()) | {b}
            apart[b] = apart.get(b, frozenset()) | {a}
    return apart


# --- what the passes ask -------------------------------------------------------------------------------------------


def shunned(table: Table) -> tuple[str, ...]:
    """Return workers that cover all suspected links, those with the most first.

    A greedy vertex cover: it has the worker that nobody reaches, not all who do not reach it; of the two ends of a single
    link, the one with fewer roles.
    """
    left = {name: set(peers) for name, peers in table.apart.items()}
    chosen: list[str] = []
    while any(left.values()):
        name = min(left, key=lambda name: (-len(left[name]), _load(table, name), name))
        for peer in left.pop(name):
            left[peer].discard(name)
        chosen.append(name)
    return tuple(chosen)


def _load(table: Table, worker: str) -> tuple[int, int]:
    roles = table.roles(worker)
    return len(roles.primaries), len(roles.tiles)
