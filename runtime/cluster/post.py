"""What a process of a run sends to others, over Dask's connections between workers; every byte of arrays is counted.

Nothing here is sure to arrive. The protocol sends its messages again; for arrays of a step there are two attempts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import astuple
from typing import Any

import numpy as np
from distributed import Worker
from distributed.protocol.serialize import to_serialize

from .mail import Address
from .metrics import Tally
from .protocol.events import Owner
from .protocol.messages import Message
from .protocol.wire import pack

DELIVER = "lnet_deliver"
PATIENCE = 20.0
"""Seconds in which another process must have taken a message, besides those for its bytes."""
SLOWEST = 10_000_000
"""Bytes in a second: what a connection moves if it is alive."""
UNREACHED = (OSError, TimeoutError, RuntimeError)
"""What Dask raises for a peer that is gone, and for a pool of connections that is closed."""


class Post:
    """`sender` is the process's name in the run; `lost` is told of a role whose arrays did not arrive."""

    def __init__(
        self, worker: Worker, run: str, sender: str, tally: Tally, lost: Callable[[Owner], None]
    ) -> None:
        self.worker, self.run, self.sender, self.tally, self.lost = worker, run, sender, tally, lost
        self.tasks: set[asyncio.Task[None]] = set()

    def send(self, to: str, message: Message) -> None:
        """Send a message of the protocol."""
        self._start(self._send(to, message))

    def send_arrays(self, owner: Owner, to: str, address: Address, arrays: list[Any]) -> None:
        """Send what a tile has for another one."""
        self._start(self._send_arrays(owner, to, address, arrays))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _send(self, to: str, message: Message) -> None:
        data, payloads = pack(message)
        moved = bytes_of(message, payloads)
        self.tally.sent.update(moved)
        arrays = [{name: to_serialize(np.asarray(a)) for name, a in _items(payload)} for payload in payloads]
        with suppress(*UNREACHED):
            await self._call(to, sum(moved.values()), message=data, payloads=arrays)

    async def _send_arrays(self, owner: Owner, to: str, address: Address, arrays: list[Any]) -> None:
        size = sum(array.nbytes for array in arrays)
        self.tally.sent["exchange"] += size
        content = {"address": list(astuple(address)), "arrays": [to_serialize(array) for array in arrays]}
        for _ in range(2):
            with suppress(*UNREACHED):
                await self._call(to, size, **content)
                return
        self.lost(owner)

    async def _call(self, to: str, size: int, **content: Any) -> None:
        rpc = self.worker.rpc(to.partition("#")[0])
        call = getattr(rpc, DELIVER)(run=self.run, sender=self.sender, receiver=to, **content)
        await asyncio.wait_for(call, PATIENCE + size / SLOWEST)


def bytes_of(message: Message, payloads: Iterable[Any]) -> dict[str, int]:
    """Return the bytes of a message's arrays by its kind, nothing if it has none."""
    count = sum(array.nbytes for payload in payloads for _, array in _items(payload))
    return {type(message).__name__.lower(): count} if count else {}


def _items(payload: Any) -> Iterable[tuple[str, Any]]:
    items: Iterable[tuple[str, Any]] = payload.items()
    return items
