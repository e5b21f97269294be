"""What a checkpoint is made of, besides the files of its shards."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Task


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """A replica slot: the next number to give out, the leases that not all shards hold, and its last generation."""

    next: int
    leases: tuple[Task, ...]
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checkpoint counts once this is on the disk. `step`: that of all shards, None where each has its own version.

    `digests`: one for each shard, as its host reported it. `fresh`: the first batch number never leased; `returned`:
    numbers below it that nobody has used; `used`: batches whose updates all shards hold; `torn`: leases that only some
    shards hold.
    """

    id: int
    run: str
    step: int | None
    digests: tuple[str, ...]
    slots: tuple[SlotRecord, ...]
    fresh: int
    returned: tuple[int, ...]
    used: int
    torn: int = 0

    def reshaped(self, replicas: int) -> Manifest:
        """Return this for another number of replicas or shards, where no table of updates fits any more.

        The batches under lease go back; those that some shards hold already are then used there twice. A synchronous
        run goes on with the first whole step of batches that are not used.
        """
        leased = (batch for slot in self.slots for task in slot.leases for batch in task.batches)
        returned = tuple(sorted((*self.returned, *leased)))
        step = None if self.step is None else self.used // replicas
        used = self.used if step is None else step * replicas
        slots = (SlotRecord(0, ()),) * replicas
        return Manifest(self.id, self.run, step, (), slots, self.fresh, returned, used, self.torn)
