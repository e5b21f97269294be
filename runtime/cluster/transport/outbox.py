"""What a process of a run sends to others, over one connection to each (lines.py); every byte of arrays is counted.

Nothing here is sure to arrive. The protocol sends its messages again, so here they are tried twice, in case a connection
had just been closed; arrays of a step as long as somebody may wait for them. `reach` knows who acknowledges nothing.
What the run wants rounded is rounded in one thread: messages that overtake each other would be sent again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import Any

from distributed.protocol.serialize import to_serialize

from lnet.runtime.cluster import clock
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.monitor.metrics import Tally
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.messages import (
    AppendEntries,
    InstallSnapshot,
    Message,
    PullReply,
    Push,
    TileFence,
)
from lnet.runtime.cluster.protocol.wire import pack
from lnet.runtime.engine.rounding import BFLOAT16, Arrays, outgoing

from .awake import Awake
from .inbox import Address
from .lines import Lines
from .parcels import INLINE, PART, Parcel
from .reach import PROBE, Reach

DELIVERY_TIMEOUT = 20.0
"""Seconds in which another process must acknowledge a message, besides those for its bytes."""
SLOWEST = 10_000_000
"""Bytes in a second: what a connection moves if it is alive."""
PAUSE = 0.5
"""Seconds before what a connection refused is sent again."""
ARRAYS: Mapping[type[Message], str] = {
    Push: "push",
    PullReply: "params",
    InstallSnapshot: "fill",
    AppendEntries: "log",
}
"""What metrics call the arrays of each message that has any."""
UNREACHED = (OSError, TimeoutError, RuntimeError)
"""What Dask raises for a peer that is gone, and for a pool of connections that is closed."""


class Outbox:
    """`sender` is the process's name in the run.

    `pushed` takes the bytes that a tile sends its server, `wanted` tells whether a role still wants its arrays sent, `lost`
    takes a role whose arrays did not arrive; `awake` counts the time in which this process could have heard an answer.
    """

    def __init__(
        self,
        lines: Lines,
        config: RunConfig,
        sender: str,
        tally: Tally,
        pushed: Callable[[TileFence, int], None],
        wanted: Callable[[RoleId], bool],
        lost: Callable[[RoleId], None],
        awake: Awake,
    ) -> None:
        self.lines, self.config, self.sender, self.tally = lines, config, sender, tally
        self.pushed, self.wanted, self.lost, self.awake = pushed, wanted, lost, awake
        self.reach = Reach(config.times.link_timeout)
        self.parcels = itertools.count()
        self.tasks: set[asyncio.Task[None]] = set()
        self.rounding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lnet-round")

    def close(self) -> None:
        self.lines.close()
        self.rounding.shutdown(wait=False)

    def send(self, send: do.Send) -> None:
        """Send a message of the protocol, unless it is late."""
        self._start(self._send(send))

    def send_arrays(self, role: RoleId, to: str, address: Address, arrays: list[Any]) -> None:
        """Send arrays of a tile to another one."""
        self._start(self._send_arrays(role, to, address, arrays))

    def probe(self, to: str) -> None:
        """Ask another process for an acknowledgement, over another connection if nothing comes over the one there is."""
        self.lines.doubt(to, self.config.times.link_timeout / 2)
        self._start(self._probe(to))

    async def _probe(self, to: str) -> None:
        await self._taken(to, PROBE, {"probe": bytes(PROBE)})

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _send(self, send: do.Send) -> None:
        data, payloads = pack(send.message)
        with suppress(*UNREACHED):
            sent = [await self._outgoing(send.message, payload) for payload in payloads]
            if send.late(clock.now()):
                return
            self._count(send.message, sent)
            letter = _Letter({"message": data}, sent, lambda: not send.late(clock.now()))
            if not await self._deliver(send.to, letter):
                await asyncio.sleep(PAUSE)
                await self._deliver(send.to, letter)

    async def _outgoing(self, message: Message, payload: Any) -> Arrays:
        if self.config.wire != BFLOAT16 or not isinstance(message, Push | PullReply):
            return outgoing(payload)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.rounding, outgoing, payload, True)

    def _count(self, message: Message, sent: list[Arrays]) -> int:
        moved = bytes_of(message, sent)
        self.tally.sent.update(moved)
        size = sum(moved.values())
        if isinstance(message, Push):
            self.pushed(message.fence, size)
        return size

    async def _send_arrays(self, role: RoleId, to: str, address: Address, arrays: list[Any]) -> None:
        self.tally.sent["exchange"] += sum(array.nbytes for array in arrays)
        named = {str(index): array for index, array in enumerate(arrays)}
        letter = _Letter({"address": list(astuple(address))}, [named], lambda: self.wanted(role))
        deadline, timeout = clock.now() + DELIVERY_TIMEOUT, self.config.times.link_timeout
        while self.wanted(role) and not await self._deliver(to, letter, timeout):
            if clock.now() >= deadline:
                self.lost(role)
                return
            timeout = min(2 * timeout, DELIVERY_TIMEOUT)  # the connection alone may be broken, or slow
            await asyncio.sleep(PAUSE)

    async def _deliver(self, to: str, letter: _Letter, timeout: float | None = None) -> bool:
        """Send a letter, large arrays first and in parts; return whether it was taken, or is not wanted any more."""
        stubs = dict[int, dict[str, Any]]()
        for array in letter.ahead:
            parcel = Parcel(next(self.parcels), array)
            for numbers, part in parcel.parts():
                content = {**letter.about, "part": numbers, "arrays": [to_serialize(part)]}
                if letter.wanted() and not await self._taken(to, part.nbytes, content, timeout):
                    return False
            stubs[id(array)] = parcel.stub
        rest = letter.size - sum(array.nbytes for array in letter.ahead)
        return not letter.wanted() or await self._taken(to, rest, letter.content(stubs), timeout)

    async def _taken(
        self, to: str, size: int, content: Mapping[str, Any], timeout: float | None = None
    ) -> bool:
        """Send something once; return whether it was taken."""
        self.reach.begun(to, size, self.awake.now())
        call = self.lines.ask(to, {"run": self.config.run, "sender": self.sender, "receiver": to, **content})
        try:
            await asyncio.wait_for(call, (DELIVERY_TIMEOUT if timeout is None else timeout) + size / SLOWEST)
        except UNREACHED:
            self.reach.failed(to, size, self.awake.now())
            return False
        self.reach.taken(to, size, self.awake.now())
        return True


@dataclass(frozen=True, slots=True)
class _Letter:
    """A message with its payloads, or a tile's arrays for an address; `wanted`: whether they still are to be sent."""

    about: Mapping[str, Any]
    payloads: Sequence[Arrays]
    wanted: Callable[[], bool]

    @property
    def size(self) -> int:
        return sum(array.nbytes for payload in self.payloads for array in payload.values())

    @property
    def ahead(self) -> list[Any]:
        """The arrays that are sent in parts."""
        arrays = [array for payload in self.payloads for array in payload.values()]
        return [array for array in arrays if array.nbytes > INLINE] if self.size > PART else []

    def content(self, stubs: Mapping[int, Any]) -> dict[str, Any]:
        """Return all of it, with stubs in place of some arrays (by their `id`)."""
        ready = [
            {name: stubs.get(id(array)) or to_serialize(array) for name, array in payload.items()}
            for payload in self.payloads
        ]
        if "address" in self.about:
            return {**self.about, "arrays": list(ready[0].values())}
        return {**self.about, "payloads": ready}


def bytes_of(message: Message, payloads: Iterable[Any]) -> dict[str, int]:
    """Return the bytes of a message's arrays by what metrics call them, nothing if it has none."""
    count = sum(array.nbytes for payload in payloads for array in payload.values())
    return {ARRAYS[type(message)]: count} if count else {}
