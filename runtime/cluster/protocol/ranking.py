"""Workers in the order of their load, for a pass that gives out many roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

Load = tuple[int, ...]
"""How many roles a worker has, of each kind by which workers are ranked."""
LoadOf = Callable[[str], Load]


class Ranking:
    """A heap of loads and names. Loads may only rise while it is used: one that did is put where it belongs when it
    comes up, so a choice costs the logarithm of the number of workers, and not that number.
    """

    def __init__(self, workers: Iterable[str], load: LoadOf) -> None:
        self._heap = [(load(name), name) for name in workers]
        heapify(self._heap)

    def first(self, load: LoadOf, fits: Callable[[str], bool]) -> str | None:
        """Return the worker with the least load, by name where that is equal, that fits; None if none does."""
        unfit, found = [], None
        while self._heap and found is None:
            ranked, name = heappop(self._heap)
            if load(name) != ranked:
                heappush(self._heap, (load(name), name))
                continue
            unfit.append((ranked, name))
            found = name if fits(name) else None
        for entry in unfit:
            heappush(self._heap, entry)
        return found
