"""What is seen of a run in virtual time: how far it is, how old its updates are, where its tiles' time goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.messages import Message, PullReply, Push
from lnet.runtime.cluster.protocol.table import Table

Tile = tuple[str, RoleId]
"""A process, and its role."""
ALL = -1
"""In place of a replica's number: the run."""


@dataclass
class Record:
    """`progress`: when so many batches were done; `ages`: of updates at primaries, how many are so old.

    `sent`: bytes of arrays between workers, `again`: those of a fetch or push that was sent before. `busy`, `parted`,
    `served`: the seconds that tiles computed, waited for other tiles, and were kept by parameters. `stepped`: when a
    replica last made a step, `stood`: the longest time between two. `lost`: updates of a shard that were acknowledged
    and lost.
    """

    progress: list[tuple[float, int]] = field(default_factory=list)
    ages: Counter[int] = field(default_factory=Counter)
    sent: int = 0
    again: int = 0
    busy: float = 0.0
    parted: float = 0.0
    served: float = 0.0
    lost: int = 0
    rollbacks: int = 0
    lapses: int = 0
    given_up: bool = False
    newest: dict[tuple[str, str, int, int], int] = field(default_factory=dict)
    done: dict[Tile, float] = field(default_factory=dict)
    stepped: dict[int, float] = field(default_factory=dict)
    stood: dict[int, float] = field(default_factory=dict)

    def restart(self) -> None:
        """Forget what was counted and summed up, as after the first steps."""
        self.ages.clear()
        self.stood.clear()
        self.sent = self.again = 0
        self.busy = self.parted = self.served = 0.0

    def look(self, now: float, before: Table, after: Table) -> None:
        """Note how far the run is after an event."""
        if after.pool.used != before.pool.used:
            self.progress.append((now, after.pool.used))

    def take(self, instruction: do.Instruction) -> None:
        """Note what the coordinator declares."""
        match instruction:
            case do.DeclareLost():
                self.lost += len(instruction.updates)
            case do.DeclareRollback():
                self.rollbacks += 1
            case do.DeclareLapsed():
                self.lapses += 1
            case do.GiveUp():
                self.given_up = True

    def applied(self, apply: do.Apply) -> None:
        """Note the age of an update that a primary takes."""
        self.ages[max(part.age for part in apply.parts)] += 1

    def message(self, to: str, message: Message, size: int) -> None:
        """Note what is sent to another worker, and whether that was sent before."""
        self.sent += size
        if isinstance(message, PullReply | Push):
            number = message.step if isinstance(message, PullReply) else message.update.number
            key = (to, type(message).__name__, message.fence.shard, message.fence.slot)
            self.again += size if number <= self.newest.get(key, -1) else 0
            self.newest[key] = max(number, self.newest.get(key, -1))

    def fetched(self, role: RoleId, process: str, now: float) -> None:
        """Note that a tile has what it needs for its next step."""
        since = self.done.get((process, role))
        self.served += now - since if since is not None else 0.0

    def computed(
        self, role: RoleId, process: str, began: float, now: float, busy: float, served: float
    ) -> None:
        """Note a step: the seconds that the tile's worker was busy with it, and with servers."""
        self.done[process, role] = now
        self.busy += busy
        self.served += served
        self.parted += max(0.0, now - began - busy - served)
        for key in (ALL, role.slot) if role.index == 0 else ():
            self.stood[key] = max(self.stood.get(key, 0.0), now - self.stepped.get(key, now))
            self.stepped[key] = now

    def longest(self, now: float) -> tuple[float, float]:
        """Return the longest times without a step, of the run and of a replica."""
        stood = {key: max(self.stood.get(key, 0.0), now - since) for key, since in self.stepped.items()}
        return stood[ALL], max(seconds for key, seconds in stood.items() if key != ALL)

    def reached(self, batches: int) -> float:
        """Return when so many batches were first done; raises StopIteration if they are not."""
        return next(time for time, used in self.progress if used >= batches)
