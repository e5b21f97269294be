"""The primary of a shard: what it knows. What it does is in lead.py, acknowledge.py and answer.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import follower as following
from .events import Owner
from .follower import Follower
from .instructions import Instruction
from .ledger import Ledger
from .messages import (
    PrimaryDuty,
    Saved,
    Sender,
)
from .seen import Seen, Update
from .spec import Rules, Spec


@dataclass(frozen=True, slots=True)
class Owed:
    """An acknowledgement: sent once line `position` is safe."""

    position: int
    to: str
    fence: Sender


@dataclass(frozen=True, slots=True)
class Fetch:
    """A replica that waits for parameters. `ticket`: of the read under way, 0: none; `version`: the head it sees."""

    to: str
    fence: Sender
    step: int
    ticket: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Primary:
    """`ledger` None: the checkpoint is not loaded yet. `released`: the last line acknowledged to anybody.

    `saving`: the newest checkpoint that the shard was saved for, `saving_seen`: the updates in it then.
    """

    spec: Spec
    rules: Rules
    owner: Owner
    duty: PrimaryDuty
    lease_until: float
    ledger: Ledger | None = None
    found: Seen | None = None
    follower: Follower | None = None
    owed: Mapping[Update, Owed] = field(default_factory=dict)
    fetches: Mapping[int, Fetch] = field(default_factory=dict)
    tickets: int = 0
    released: int = 0
    saving: int = 0
    saving_seen: Seen | None = None
    saved: Saved | None = None

    def leased(self, now: float) -> bool:
        return now < self.lease_until or not self.rules.fence

    @property
    def wakes(self) -> float:
        """When a tick is due."""
        return following.wakes(self.follower, self.spec.times.retry)

    @property
    def deadline(self) -> float | None:
        """After which nothing may leave for a replica any more."""
        return self.lease_until if self.rules.fence else None


Step = tuple[Primary, tuple[Instruction, ...]]
