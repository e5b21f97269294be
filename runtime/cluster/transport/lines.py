"""One connection between two processes of a run, used both ways: whoever sends first opens it.

    a   --- {ask: 7, message} --->   b            a   <--- {ask: 3, arrays} ---   b
    a   <------ {answer: 7} ------   b            a   ------ {answer: 3} ----->   b

Dask's pools open a connection for each message under way, in each direction, and keep them all. A line takes one descriptor
of either process, whatever is under way. If both open one at the same time, both send over the one that the lesser name
opened, and the other is closed once it is not used any more.

A line on which nothing comes may be broken where another one would not be: `doubt` sets it aside for a new one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from distributed.comm.core import Comm, CommClosedError

IDLE, ASIDE = 30.0, 2.0
"""Seconds without a message, after which a line is closed that no role needs, and one that was set aside."""
NOBODY, OPEN = "nobody", "open"
"""Answers to a process that opens a line: whom it is for is not here any more, or is."""

Clock = Callable[[], float]
Take = Callable[..., Awaitable[object]]
Connect = Callable[[str], Awaitable[Comm | None]]


@dataclass(eq=False)
class Line:
    """`take` takes what the other process sends; `mine`: opened here; `aside`: nothing is sent over it any more.

    `heard`: when anything came last; `asked`: since when which answers are waited for.
    """

    peer: str
    comm: Comm
    take: Take
    now: Clock
    mine: bool
    heard: float
    aside: bool = False
    asked: dict[int, tuple[float, asyncio.Future[None]]] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def ask(self, content: Mapping[str, Any]) -> None:
        """Send something and wait for the answer; raises `OSError` if the line breaks.

        One on which nothing has come since is given up with the wait for the answer.
        """
        number, began, answer = next(self.numbers), self.now(), asyncio.get_running_loop().create_future()
        self.asked[number] = began, answer
        try:
            await self.comm.write({"ask": number, **content})
            await answer
        except asyncio.CancelledError:
            if self.heard < began:
                self.comm.abort()
            raise
        finally:
            del self.asked[number]

    async def serve(self) -> None:
        """Take what comes, until the line breaks."""
        with suppress(OSError):
            while True:
                message = await self.comm.read()
                self.heard = self.now()
                if "answer" in message:
                    self._answered(message["answer"])
                else:
                    number = message.pop("ask")
                    await self.take(**message)
                    await self.comm.write({"answer": number})

    def _answered(self, number: int) -> None:
        if number in self.asked and not self.asked[number][1].done():
            self.asked[number][1].set_result(None)

    def close(self) -> None:
        self.comm.abort()
        for _, answer in self.asked.values():
            if not answer.done():
                answer.set_exception(CommClosedError("the connection ended"))

    def unanswered(self, now: float) -> float:
        """Return for how long something has waited for an answer while nothing came."""
        return max((now - max(began, self.heard) for began, _ in self.asked.values()), default=0.0)

    def idle(self, now: float) -> bool:
        """Whether it is to be closed: by the process that opened it, unless that has set it aside."""
        if self.asked or not (self.mine or self.aside):
            return False
        return now - self.heard > (ASIDE if self.aside else IDLE)


class Lines:
    """The lines of the process `me`. `connect` opens a connection to a process, None if it is not there any more."""

    def __init__(self, me: str, connect: Connect, take: Take, now: Clock) -> None:
        self.me, self.connect, self.take, self.now = me, connect, take, now
        self.lines: set[Line] = set()
        self.current: dict[str, Line] = {}
        self.opening: dict[str, asyncio.Task[Line | None]] = {}
        self.serving: set[asyncio.Task[None]] = set()
        self.closed = False

    async def ask(self, to: str, content: Mapping[str, Any]) -> None:
        """Send something to a process; returns when it has answered, or if it is not there any more.

        Raises `OSError` if it cannot be reached.
        """
        if self.closed:
            raise CommClosedError("this process has left the run")
        line = self.current.get(to)
        if line is None:
            if to not in self.opening:
                self.opening[to] = asyncio.create_task(self._open(to))
                self.opening[to].add_done_callback(lambda task: self._opened(to, task))
            line = await asyncio.shield(self.opening[to])
        if line is not None:
            await line.ask(content)

    async def _open(self, to: str) -> Line | None:
        comm = await self.connect(to)
        if comm is None:
            return None
        line = Line(to, comm, self.take, self.now, True, self.now())
        task = asyncio.create_task(self._serve(line))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        return line

    def _opened(self, to: str, task: asyncio.Task[Line | None]) -> None:
        del self.opening[to]
        if not task.cancelled():
            task.exception()  # those that wait for it raise it, if any still do

    async def opened(self, sender: str, comm: Comm) -> None:
        """Serve a line that another process has opened, until it breaks."""
        await self._serve(Line(sender, comm, self.take, self.now, False, self.now()))

    async def _serve(self, line: Line) -> None:
        self.lines.add(line)
        self._choose(line)
        try:
            await line.serve()
        finally:
            line.close()
            self.lines.discard(line)
            if self.current.get(line.peer) is line:
                del self.current[line.peer]

    def _choose(self, line: Line) -> None:
        """Send over a new line to a process, unless there is the one that both prefer."""
        old = self.current.get(line.peer)
        if old is not None and old.mine != line.mine and old.mine == (self.me < line.peer):
            line.aside = True
            return
        if old is not None:
            old.aside = True
        self.current[line.peer] = line

    def doubt(self, to: str, seconds: float) -> None:
        """Let another line be opened to a process of which nothing has come for so long; one at a time."""
        line = self.current.get(to)
        others = any(other.peer == to and other.aside for other in self.lines)
        if line is not None and not others and line.unanswered(self.now()) >= seconds:
            line.aside = True
            del self.current[to]

    def close_idle(self) -> None:
        """Close the lines that are not used any more."""
        now = self.now()
        for line in [line for line in self.lines if line.idle(now)]:
            line.close()

    def close(self) -> None:
        """Close all lines, and open no more."""
        self.closed = True
        for task in self.opening.values():
            task.cancel()
        for line in list(self.lines):
            line.close()
