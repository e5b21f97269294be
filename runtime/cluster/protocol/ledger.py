"""The replicated log of a shard: the same entries in the same order at the primary and at its standby.

asynchronous   every entry is an update, applied at once; the table of updates keeps it from being applied twice
synchronous    entries stage the parts of a step, one entry applies them:

    entry       7         8         9          10        11
             part 1    part 0    part 2      apply     part 0 ...
    staged    {1}      {0, 1}   {0, 1, 2}     {}         {0}
    steps      3         3         3          4          4
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .events import RoleId
from .instructions import Apply, Instruction
from .messages import LogEntry, PushedUpdate, ShardMetadata
from .updates import AppliedUpdates, Update


@dataclass(frozen=True, slots=True)
class Ledger:
    """`head`: the last entry; `applied`: the last that the host has applied; `committed`: synchronous steps applied."""

    role: RoleId
    synchronous: bool
    head: int
    applied: int
    committed: int
    updates: AppliedUpdates
    staged: tuple[PushedUpdate, ...] = ()

    @staticmethod
    def opened(role: RoleId, synchronous: bool, metadata: ShardMetadata) -> Ledger:
        return Ledger(role, synchronous, metadata.head, metadata.head, metadata.committed, metadata.updates)

    @property
    def metadata(self) -> ShardMetadata:
        return ShardMetadata(self.head, self.committed, self.updates)

    @property
    def safe(self) -> int:
        """The last entry that needs no more work here before its ack; a staged part only has to be kept."""
        return self.head if self.synchronous else self.applied

    def __contains__(self, update: Update) -> bool:
        if self.synchronous:
            staged = (part.update for part in self.staged)
            return update.number < self.committed or update in staged
        return update in self.updates

    def take(
        self, part: PushedUpdate | None, norms: tuple[float, ...] = ()
    ) -> tuple[Ledger, LogEntry, tuple[Instruction, ...]]:
        """Return the ledger with one more entry, the entry, and the updates that the host applies."""
        entry = LogEntry(self.head + 1, part, norms)
        if part is None:
            return self._apply_staged(), entry, (Apply(self.role, entry.position, self.step, norms),)
        if self.synchronous:
            return replace(self, head=entry.position, staged=(*self.staged, part)), entry, ()
        updates = self.updates.raised(part.update.slot, part.low_water).add(part.update, part.generation)
        return (
            replace(self, head=entry.position, updates=updates),
            entry,
            (Apply(self.role, entry.position, (part,)),),
        )

    def _apply_staged(self) -> Ledger:
        return replace(self, head=self.head + 1, committed=self.committed + 1, staged=())

    @property
    def step(self) -> tuple[PushedUpdate, ...]:
        """The staged parts of a step, in the order of their slots."""
        return tuple(sorted(self.staged, key=lambda part: part.update.slot))
