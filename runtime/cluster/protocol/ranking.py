"""Workers in the order of how many roles they have, for a pass that gives out many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

Count = Callable[[str], int]


class Ranking:
    """A heap of counts and names. Counts may only rise while it is used: one that did is put where it belongs when it
    comes up, so a choice costs the logarithm of the number of workers, and not that number.
    """

    def __init__(self, workers: Iterable[str], count: Count) -> None:
        self._heap = [(count(name), name) for name in workers]
        heapify(self._heap)

    def first(self, count: Count, fits: Callable[[str], bool]) -> str | None:
        """Return the worker with the least count, by name where that is equal, that fits; None if none does."""
        unfit, found = [], None
        while self._heap and found is None:
            ranked, name = heappop(self._heap)
            if count(name) != ranked:
                heappush(self._heap, (count(name), name))
                continue
            unfit.append((ranked, name))
            found = name if fits(name) else None
        for entry in unfit:
            heappush(self._heap, entry)
        return found
