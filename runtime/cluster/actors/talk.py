"""A tile's exchanges with the other tiles of its replica, in a step or a validation: in the role's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np

from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.transport.inbox import Address, Mailbox, OtherImages
from lnet.runtime.data import Batch
from lnet.runtime.engine.shard import Receive, Send

from .threads import waiting
from .windows import differs

T = TypeVar("T")
SendArrays = Callable[[RoleId, str, Address, list[Any]], None]
"""Sends arrays for a role to a process."""
VALIDATION = "validation: "
"""How the names of exchanges begin that belong to a validation."""


@dataclass
class Talk:
    """The batch that a tile is at, seconds of exchanges, bytes sent. `send` may be called from whatever thread.

    `images`: of the digests of its batches, the sum; `place`: the batch's number in what all tiles do together.
    """

    wanted: do.Compute | do.Validate
    inbox: Mailbox
    send: SendArrays
    cancelled: threading.Event
    place: int = 0
    number: int = 0
    batch: Batch | None = None
    images: int = 0
    exchanged: float = 0.0
    sent: int = 0

    def begin(self, place: int, number: int, batch: Batch) -> None:
        """Go on to a batch; `number`: of all batches of the run, or of those that it is validated on."""
        self.place, self.number, self.batch = place, number, batch
        self.images = (self.images + batch.sum) % 2**64

    def through(self, talk: Generator[Send | Receive, Any, T]) -> T:
        """Return what a generator of messages returns, whose messages are moved meanwhile."""
        answer = None
        while True:
            try:
                want = talk.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(want, Send):
                self._send(want)
                answer = None
            else:
                before = time.perf_counter()
                answer = self._receive(want)
                self.exchanged += time.perf_counter() - before

    def _address(self, exchange: str, sender: int, receiver: int) -> Address:
        wanted = self.wanted
        if isinstance(wanted, do.Compute):
            number = wanted.update.number
        else:
            number, exchange = wanted.id, VALIDATION + exchange
        return Address(
            wanted.role.slot,
            wanted.generation,
            number,
            self.place,
            exchange,
            sender,
            receiver,
            0 if self.batch is None else self.batch.sum,
        )

    def _send(self, send: Send) -> None:
        arrays, role = [np.asarray(array) for array in send.arrays], self.wanted.role
        address = self._address(send.exchange, role.index, send.receiver)
        self.send(role, self.wanted.peers[send.receiver], address, arrays)
        self.sent += sum(array.nbytes for array in arrays)

    def _receive(self, want: Receive) -> Any:
        address = self._address(want.exchange, want.sender, self.wanted.role.index)
        try:
            with waiting():
                arrays = self.inbox.take(address, self.cancelled.is_set)
        except OtherImages as error:
            assert self.batch is not None, "tiles exchange nothing before they have images"
            raise differs(self.wanted.role, self.number, want.sender, self.batch) from error
        return [jnp.asarray(array) for array in arrays]
