"""What a shard has taken: the same lines in the same order at the primary and at its standby.

asynchronous   every line is an update, applied at once; the table of updates keeps it from coming twice
synchronous    lines stage the parts of a step, one line applies them:

    line        7         8         9          10        11
             part 1    part 0    part 2      apply     part 0 ...
    staged    {1}      {0, 1}   {0, 1, 2}     {}         {0}
    steps      3         3         3          4          4
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .events import Owner
from .instructions import Apply, Instruction
from .messages import Books, Entry, Part
from .seen import Seen, Update


@dataclass(frozen=True, slots=True)
class Ledger:
    """`head`: lines taken; `applied`: those that the host has folded; `committed`: synchronous steps applied."""

    owner: Owner
    synchronous: bool
    head: int
    applied: int
    committed: int
    seen: Seen
    staged: tuple[Part, ...] = ()

    @staticmethod
    def opened(owner: Owner, synchronous: bool, books: Books) -> Ledger:
        return Ledger(owner, synchronous, books.head, books.head, books.committed, books.seen)

    @property
    def books(self) -> Books:
        return Books(self.head, self.committed, self.seen)

    @property
    def safe(self) -> int:
        """Lines that need no more work here before they can be acknowledged; a staged part only has to be kept."""
        return self.head if self.synchronous else self.applied

    def __contains__(self, update: Update) -> bool:
        if self.synchronous:
            staged = (part.update for part in self.staged)
            return update.number < self.committed or update in staged
        return update in self.seen

    def take(self, part: Part | None) -> tuple[Ledger, Entry, tuple[Instruction, ...]]:
        """Return the ledger with one more line, the line, and the updates that the host applies."""
        entry = Entry(self.head + 1, part)
        if part is None:
            return self._apply_staged(), entry, (Apply(self.owner, entry.position, self._in_order()),)
        if self.synchronous:
            return replace(self, head=entry.position, staged=(*self.staged, part)), entry, ()
        seen = self.seen.raised(part.update.slot, part.floor).add(part.update, part.generation)
        return (
            replace(self, head=entry.position, seen=seen),
            entry,
            (Apply(self.owner, entry.position, (part,)),),
        )

    def _apply_staged(self) -> Ledger:
        return replace(self, head=self.head + 1, committed=self.committed + 1, staged=())

    def _in_order(self) -> tuple[Part, ...]:
        return tuple(sorted(self.staged, key=lambda part: part.update.slot))
