"""Which other processes are reachable: those that acknowledge nothing for a while are named to the coordinator.

    peer    light   sent ------------------------> taken                        it is there
            heavy   sent -----------------------------------------> 3 s: named  and yet takes nothing large
    peer    light   sent --> failed   sent again --> failed ------> 3 s: named

Peers that a role needs are asked for an acknowledgement when nothing else was sent to them for a heartbeat interval
(`quiet`), so that all broken links are found at once, and not each when those before it are repaired.

A light message fits into one packet, so it passes a link that drops large ones: an acknowledgement proves only that
messages as light, or lighter, get through. Large ones are sent in parts (parcels.py), each acknowledged. One failure may
be that of a connection that was just closed. No clock is read here: callers pass the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

LIGHT = 256
"""Bytes of arrays that fit into one packet together with all that is said about them."""
PROBE = 2048
"""Bytes that are sent to ask for an acknowledgement: more than a packet holds."""
RECALL = 10.0
"""Seconds without another message, after which a failure is forgotten: nobody needs the link any more."""


@dataclass(slots=True)
class Wait:
    """The wait for an acknowledgement of a peer: `since` when, and when a message to it was `last` begun or ended."""

    since: float
    last: float
    under_way: int = 0
    failures: int = 0

    @property
    def serious(self) -> bool:
        return self.under_way > 0 or self.failures > 1


@dataclass
class Reach:
    """`link_timeout`: seconds without an acknowledgement; `begins`: when something heavy was last sent to each peer."""

    link_timeout: float
    begins: dict[str, float] = field(default_factory=dict)
    waits: dict[tuple[str, bool], Wait] = field(default_factory=dict)

    def begun(self, peer: str, size: int, now: float) -> None:
        """Something with so many bytes of arrays is on its way to a peer."""
        if size > LIGHT:
            self.begins[peer] = now
        wait = self.waits.setdefault((peer, size > LIGHT), Wait(now, now))
        if not wait.serious:
            wait.since = now
        wait.under_way += 1
        wait.last = now

    def taken(self, peer: str, size: int, now: float) -> None:
        """The peer has acknowledged it."""
        for heavy in {size > LIGHT, False}:
            wait = self.waits.get((peer, heavy))
            if wait is not None:
                wait.since, wait.failures = now, 0
                self._ended(peer, heavy, wait, now, ended=heavy == (size > LIGHT))

    def failed(self, peer: str, size: int, now: float) -> None:
        """It was given up, or its connection broke."""
        wait = self.waits.get((peer, size > LIGHT))
        if wait is not None:
            wait.failures += 1
            self._ended(peer, size > LIGHT, wait, now)

    def _ended(self, peer: str, heavy: bool, wait: Wait, now: float, ended: bool = True) -> None:
        wait.under_way, wait.last = wait.under_way - ended, now
        if not wait.under_way and not wait.failures:
            del self.waits[peer, heavy]

    def quiet(self, peers: Iterable[str], interval: float, now: float) -> list[str]:
        """Return those of the peers that a role needs to whom nothing heavy went within an interval.

        Where something is on its way for longer, its connection alone may be broken: they are asked over another one, too.
        """
        self.begins = {peer: self.begins.get(peer, -inf) for peer in peers}
        busy = {peer for (peer, heavy), wait in self.waits.items() if heavy and wait.under_way}
        return [
            peer
            for peer, begun in self.begins.items()
            if begun < now - (self.link_timeout / 2 if peer in busy else interval)
        ]

    def unreachable(self, now: float) -> tuple[str, ...]:
        """Return the peers that have acknowledged nothing for `link_timeout`, the longest silent first."""
        for key, wait in list(self.waits.items()):
            if not wait.under_way and now - wait.last > RECALL:
                del self.waits[key]
        late: dict[str, float] = {}
        for (peer, _), wait in self.waits.items():
            if wait.serious and now - wait.since >= self.link_timeout:
                late[peer] = min(wait.since, late.get(peer, wait.since))
        return tuple(sorted(late, key=lambda peer: (late[peer], peer)))
