"""The table of updates that a shard has taken, compact: a floor for each replica slot, and exceptions above it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Update:
    """The identity of an update, besides run and shard.

    Asynchronous: the `number`-th push of a replica slot. Synchronous: part `slot` of step `number`, whoever computes it.
    """

    slot: int
    number: int


RECENT = 64
"""Numbers of which it is kept who computed them: more than a replica has under way."""


@dataclass(frozen=True, slots=True)
class SlotSeen:
    """All numbers below `floor`, and those in `above`. `takes`: of the newest ones, the generation that computed each."""

    floor: int = 0
    above: frozenset[int] = frozenset()
    takes: tuple[tuple[int, int], ...] = ()

    def __contains__(self, number: int) -> bool:
        return number < self.floor or number in self.above

    def add(self, number: int, generation: int) -> SlotSeen:
        takes = (*self.takes[1 - RECENT :], (number, generation))
        return SlotSeen(self.floor, self.above | {number}, takes)._compact()

    def generation(self, number: int) -> int | None:
        """Return which generation's computation was taken, None if that was too long ago."""
        return dict(self.takes).get(number)

    def raised(self, floor: int) -> SlotSeen:
        """Return the table where everything below `floor` counts as seen: nobody will ever send it."""
        return self if floor <= self.floor else SlotSeen(floor, self.above, self.takes)._compact()

    def _compact(self) -> SlotSeen:
        floor = self.floor
        while floor in self.above:
            floor += 1
        above = frozenset(number for number in self.above if number >= floor)
        return SlotSeen(floor, above, self.takes)


@dataclass(frozen=True, slots=True)
class Seen:
    """The table of a shard, one entry for each replica slot."""

    slots: tuple[SlotSeen, ...]

    @staticmethod
    def nothing(replicas: int) -> Seen:
        return Seen((SlotSeen(),) * replicas)

    def __contains__(self, update: Update) -> bool:
        return update.number in self.slots[update.slot]

    def add(self, update: Update, generation: int) -> Seen:
        return self._with(update.slot, self.slots[update.slot].add(update.number, generation))

    def generation(self, update: Update) -> int | None:
        """Return which generation's computation of an update was taken, None if that was too long ago."""
        return self.slots[update.slot].generation(update.number)

    def raised(self, slot: int, floor: int) -> Seen:
        return self if floor <= self.slots[slot].floor else self._with(slot, self.slots[slot].raised(floor))

    def _with(self, slot: int, table: SlotSeen) -> Seen:
        return Seen((*self.slots[:slot], table, *self.slots[slot + 1 :]))
