"""Retransmission timeouts: doubled each time a message is sent again, as in TCP (RFC 6298).

A late answer often means a large message, not a lost one. So the timeout follows the time that answers take; the answer
to a message that was sent twice is no sample, because it may be to either (Karn and Partridge, 1987), and the longer
timeout stays.
"""

from __future__ import annotations

DOUBLINGS = 3
"""The most doublings of a wait for what may be lost: it must not be missed for long."""
LEARNT = 8
"""The most doublings of a wait for what has been seen to take as long."""


def wait(retry: float, doublings: int) -> float:
    """Return the seconds to wait for an answer."""
    return float(retry * 2**doublings)


def doubled(doublings: int) -> int:
    """Return the doublings of the wait after one that was in vain."""
    return max(doublings, min(doublings + 1, DOUBLINGS))


def doublings_for(retry: float, took: float) -> int:
    """Return the doublings that make the wait at least twice what an answer took, at most `LEARNT`."""
    return next((n for n in range(LEARNT) if wait(retry, n) >= 2 * took), LEARNT)
