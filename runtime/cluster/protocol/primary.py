"""The state of a shard's primary; its transitions are in lead.py, acknowledge.py and answer.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import follower as following
from .events import RoleId
from .follower import Follower
from .ledger import Ledger
from .messages import (
    PrimaryAssignment,
    SavedShard,
    TileFence,
)
from .spec import Rules, Spec
from .updates import AppliedUpdates, Update


@dataclass(frozen=True, slots=True)
class PendingAck:
    """An acknowledgement: sent once entry `position` is safe."""

    position: int
    to: str
    fence: TileFence


@dataclass(frozen=True, slots=True)
class PendingPull:
    """A pull that waits for its reply. `ticket`: of the read under way, 0: none; `version`: the head it sees."""

    to: str
    fence: TileFence
    step: int
    ticket: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Primary:
    """`ledger` None: the checkpoint is not loaded yet. `acknowledged`: the last entry acknowledged to a tile.

    `restored`: the updates in the checkpoint that it began with. `saving`: the newest checkpoint that the shard was saved
    for, `saving_updates`: the updates in that one. `measuring`: the step whose norms were asked for,
    `measured`: the last one with its norms.
    """

    spec: Spec
    rules: Rules
    role: RoleId
    assignment: PrimaryAssignment
    lease_until: float
    ledger: Ledger | None = None
    restored: AppliedUpdates | None = None
    follower: Follower | None = None
    pending_acks: Mapping[Update, PendingAck] = field(default_factory=dict)
    pending_pulls: Mapping[int, PendingPull] = field(default_factory=dict)
    tickets: int = 0
    acknowledged: int = 0
    saving: int = 0
    saving_updates: AppliedUpdates | None = None
    measuring: int = -1
    measured: tuple[int, tuple[float, ...]] = -1, ()
    saved: SavedShard | None = None

    def leased(self, now: float) -> bool:
        return now < self.lease_until or not self.rules.fence

    @property
    def wakes(self) -> float:
        """When a tick is due."""
        return following.wakes(self.follower, self.spec.times.retry)

    @property
    def deadline(self) -> float | None:
        """When the lease ends: nothing may be sent to a tile after it."""
        return self.lease_until if self.rules.fence else None
