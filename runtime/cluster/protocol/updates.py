"""The updates that a shard has applied, compact: a low-water mark for each replica slot, and the numbers above it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Update:
    """The identity of an update, besides run and shard.

    Asynchronous: the `number`-th push of a replica slot. Synchronous: part `slot` of step `number`, whoever computes it.
    """

    slot: int
    number: int


UpdateNumbers = tuple[tuple[int, ...], ...]
"""Which updates a shard has, for each slot: the low-water mark, then the numbers above it."""
RECENT = 64
"""Numbers whose generations are kept: more than a replica has under way."""


@dataclass(frozen=True, slots=True)
class SlotUpdates:
    """All numbers below `low_water`, and those in `above`. `generations`: which one computed each of the newest."""

    low_water: int = 0
    above: frozenset[int] = frozenset()
    generations: tuple[tuple[int, int], ...] = ()

    def __contains__(self, number: int) -> bool:
        return number < self.low_water or number in self.above

    def add(self, number: int, generation: int) -> SlotUpdates:
        generations = (*self.generations[1 - RECENT :], (number, generation))
        return SlotUpdates(self.low_water, self.above | {number}, generations)._compact()

    def generation(self, number: int) -> int | None:
        """Return which generation's computation was taken, None if that was too long ago."""
        return dict(self.generations).get(number)

    def raised(self, low_water: int) -> SlotUpdates:
        """Return the table where all below `low_water` counts as applied: nobody will ever send it."""
        return (
            self
            if low_water <= self.low_water
            else SlotUpdates(low_water, self.above, self.generations)._compact()
        )

    def _compact(self) -> SlotUpdates:
        low_water = self.low_water
        while low_water in self.above:
            low_water += 1
        above = frozenset(number for number in self.above if number >= low_water)
        return SlotUpdates(low_water, above, self.generations)


@dataclass(frozen=True, slots=True)
class AppliedUpdates:
    """The updates that a shard has applied, one item for each replica slot."""

    slots: tuple[SlotUpdates, ...]

    @staticmethod
    def nothing(replicas: int) -> AppliedUpdates:
        return AppliedUpdates((SlotUpdates(),) * replicas)

    @staticmethod
    def of(numbers: UpdateNumbers) -> AppliedUpdates:
        return AppliedUpdates(tuple(SlotUpdates(found[0], frozenset(found[1:])) for found in numbers))

    @property
    def numbers(self) -> UpdateNumbers:
        return tuple((slot.low_water, *sorted(slot.above)) for slot in self.slots)

    def __contains__(self, update: Update) -> bool:
        return update.number in self.slots[update.slot]

    def add(self, update: Update, generation: int) -> AppliedUpdates:
        return self._with(update.slot, self.slots[update.slot].add(update.number, generation))

    def generation(self, update: Update) -> int | None:
        """Return which generation's computation of an update was taken, None if that was too long ago."""
        return self.slots[update.slot].generation(update.number)

    def raised(self, slot: int, low_water: int) -> AppliedUpdates:
        return (
            self
            if low_water <= self.slots[slot].low_water
            else self._with(slot, self.slots[slot].raised(low_water))
        )

    def _with(self, slot: int, table: SlotUpdates) -> AppliedUpdates:
        return AppliedUpdates((*self.slots[:slot], table, *self.slots[slot + 1 :]))
