"""Arrays from the other tiles of a replica, waiting for the step that needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lnet.runtime.cluster.protocol.wire import Malformed


@dataclass(frozen=True, slots=True)
class Address:
    """Which exchange of which step of which replica arrays belong to, from one tile to another.

    `images`: the sum of the batch that the tile computes, which has to be that of the receiver.
    """

    slot: int
    generation: int
    number: int
    step: int
    exchange: str
    sender: int
    receiver: int
    images: int = field(default=0, compare=False)


def address_from(values: Any) -> Address:
    """Return the address that a message has; raises `Malformed`."""
    kinds = [int, int, int, int, str, int, int, int]
    if not isinstance(values, list | tuple) or [type(value) for value in values] != kinds:
        raise Malformed("expected an address")
    return Address(*values)


class Cancelled(Exception):
    """The step that waits was given up."""


class OtherImages(Exception):
    """The tile that sent what was waited for computes a batch of other images."""


@dataclass
class Mailbox:
    """Put by the event loop, taken by the threads that compute."""

    waiting: dict[Address, tuple[int, Any]] = field(default_factory=dict)
    oldest: dict[tuple[int, int], int] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, address: Address, arrays: Any) -> bool:
        """Keep arrays until they are taken; False if they come from a generation that is over."""
        with self.changed:
            if address.generation < self.oldest.get((address.slot, address.receiver), 0):
                return False
            self.waiting[address] = address.images, arrays
            self.changed.notify_all()
            return True

    def take(self, address: Address, cancelled: Callable[[], bool]) -> Any:
        """Wait for arrays; raises `Cancelled`, or `OtherImages` if they are of other images than the address says."""
        with self.changed:
            while address not in self.waiting:
                if cancelled():
                    raise Cancelled
                self.changed.wait(timeout=5.0)
            images, arrays = self.waiting.pop(address)
        if images != address.images:
            raise OtherImages
        return arrays

    def begin(self, slot: int, tile: int, generation: int) -> None:
        """Forget what earlier generations left for a tile."""
        with self.changed:
            self.oldest[slot, tile] = generation
            for address in list(self.waiting):
                if (address.slot, address.receiver) == (slot, tile) and address.generation < generation:
                    del self.waiting[address]

    def clear(self) -> None:
        """Forget everything."""
        with self.changed:
            self.waiting.clear()

    def wake(self) -> None:
        """Let those that wait see whether they were cancelled."""
        with self.changed:
            self.changed.notify_all()
