"""How long to wait for an answer before a message is sent again: twice as long each time, as TCP does (RFC 6298).

What takes long is often no loss but size: a push of all that a tile has, a snapshot. So a sender goes by what the
answers took; one to a message that was sent twice tells nothing, because nobody knows which of the two was answered
(Karn and Partridge, 1987), and the longer wait stays.
"""

from __future__ import annotations

DOUBLINGS = 3
"""Times that a wait is doubled at most: what is lost must not be missed for long."""


def wait(retry: float, doublings: int) -> float:
    """Return the seconds to wait for an answer."""
    return float(retry * 2 ** min(doublings, DOUBLINGS))


def doublings_for(retry: float, took: float) -> int:
    """Return how often to double the wait where answers take so long: to at least twice that, if it may be."""
    return next((n for n in range(DOUBLINGS) if wait(retry, n) >= 2 * took), DOUBLINGS)
