"""Who has which role now, from the events that say so: whole, or what has changed since the one before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .events import ReplicaChange, ReplicaRoles, RolesChanged, RolesMoved, ShardRoles


@dataclass
class CurrentReplica:
    """As `ReplicaRoles`; `vacant`: how many of its tiles nobody computes."""

    state: str = "waiting"
    generation: int = 0
    workers: list[str | None] = field(default_factory=list)
    vacant: int = 0

    def change(self, event: ReplicaChange) -> None:
        """Take in what has changed."""
        self.state, self.generation = event.state, event.generation
        for tile, worker in event.tiles.items():
            self.vacant += (worker is None) - (self.workers[tile] is None)
            self.workers[tile] = worker


@dataclass
class CurrentRoles:
    """`workers`: how often each name takes part, since a process may join before the one of its name is known to be lost;
    `present`: how many processes that are; `unled`: shards without a primary. A change costs what is in it, however many
    roles there are.
    """

    replicas: dict[int, CurrentReplica] = field(default_factory=dict)
    shards: dict[int, ShardRoles] = field(default_factory=dict)
    workers: Counter[str] = field(default_factory=Counter)
    present: int = 0
    unled: set[int] = field(default_factory=set)

    def take(self, event: RolesChanged | RolesMoved) -> None:
        """Take an event in; one of changes alone says nothing to who has not seen a whole one."""
        if isinstance(event, RolesChanged):
            self.replicas = {
                index: CurrentReplica(
                    found.state, found.generation, list(found.workers), found.workers.count(None)
                )
                for index, found in enumerate(event.replicas)
            }
            self.shards = dict(enumerate(event.shards))
            self.unled = {index for index, shard in self.shards.items() if shard.primary is None}
            self.workers, self.present = Counter(event.workers), len(event.workers)
        elif self.replicas:
            for index, change in event.replicas.items():
                self.replicas[index].change(change)
            for index, shard in event.shards.items():
                self._lead(index, shard)
            self.workers.update(event.joined)
            self.workers.subtract(event.left)
            self.present += len(event.joined) - len(event.left)

    @property
    def with_tiles(self) -> set[str]:
        """The workers that compute tiles."""
        return {name for replica in self.replicas.values() for name in replica.workers if name is not None}

    def _lead(self, index: int, shard: ShardRoles) -> None:
        self.shards[index] = shard
        if shard.primary is None:
            self.unled.add(index)
        else:
            self.unled.discard(index)

    def whole(self) -> RolesChanged:
        """Return an event that says all."""
        return RolesChanged(
            tuple(
                ReplicaRoles(replica.state, tuple(replica.workers), replica.generation)
                for replica in self.replicas.values()
            ),
            tuple(self.shards.values()),
            tuple(sorted(self.workers.elements())),
        )
