"""Connections between processes of a run: one to each, whatever is under way, and another one if that breaks."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from distributed.comm import connect, listen
from distributed.protocol.serialize import to_serialize

from lnet.runtime.cluster.transport import awake
from lnet.runtime.cluster.transport.awake import Awake
from lnet.runtime.cluster.transport.lines import ASIDE, IDLE, NOBODY, OPEN, Lines


class Process:
    """One end: takes what comes, keeps it, and holds back its answers while `hold` is set."""

    def __init__(self, name, addresses, time):
        self.name, self.addresses, self.taken, self.opened = name, addresses, [], 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.lines = Lines(name, self.connect, self.take, lambda: time[0])

    async def connect(self, to):
        comm = await connect(self.addresses[to])
        self.opened += 1
        await comm.write({"sender": self.name, "receiver": to})
        if await comm.read() == OPEN:
            return comm
        comm.abort()
        return None

    async def serve(self, comm):
        hello = await comm.read()
        if hello["receiver"] != self.name:
            await comm.write(NOBODY)
            return
        await comm.write(OPEN)
        await self.lines.opened(hello["sender"], comm)

    async def take(self, **content):
        self.taken.append(content)
        await self.answering.wait()

    async def ask(self, to, count=1):
        arrays = [np.full(1000, number, np.float32) for number in range(count)]
        asked = [self.lines.ask(to.name, {"array": to_serialize(array)}) for array in arrays]
        await asyncio.gather(*asked)

    @property
    def open(self):
        return len(self.lines.lines)


@asynccontextmanager
async def processes(*names):
    addresses, time = {}, [0.0]
    found = [Process(name, addresses, time) for name in names]
    listeners = [listen("tcp://127.0.0.1:0", process.serve) for process in found]
    for process, listener in zip(found, listeners, strict=True):
        await listener.start()
        addresses[process.name] = listener.contact_address
    yield *found, time
    for process, listener in zip(found, listeners, strict=True):
        process.lines.close()
        listener.stop()


async def settle(condition):
    while not condition():
        await asyncio.sleep(0.01)


def in_loop(test):
    def run():
        asyncio.run(asyncio.wait_for(test(), 60))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_loop
async def test_all_that_is_under_way_both_ways_goes_over_one_connection():
    async with processes("a", "b") as (a, b, _):
        a.answering.clear()
        b.answering.clear()
        asked = asyncio.gather(a.ask(b, 50), b.ask(a, 50))
        await settle(lambda: a.taken and b.taken)
        a.answering.set()
        b.answering.set()
        await asked
        await a.ask(b)
        assert sorted(content["array"][0] for content in b.taken) == [0, *range(50)]
        assert len(a.taken) == 50
        await settle(lambda: len(a.lines.current) == len(b.lines.current) == 1)
        (ours,), (theirs,) = a.lines.current.values(), b.lines.current.values()
        assert ours.comm.local_address == theirs.comm.peer_address


@in_loop
async def test_of_two_that_are_opened_at_once_one_is_left():
    async with processes("a", "b") as (a, b, time):
        await asyncio.gather(a.ask(b), b.ask(a))
        assert a.opened == b.opened == 1
        await settle(lambda: a.open == b.open == 2)
        time[0] = ASIDE + 1.0
        a.lines.close_idle()
        b.lines.close_idle()
        await settle(lambda: a.open == b.open == 1)
        await asyncio.gather(a.ask(b, 5), b.ask(a, 5))
        assert (a.opened, b.opened) == (1, 1)
        assert [line.mine for line in a.lines.lines] == [True]


@in_loop
async def test_a_line_that_breaks_is_replaced_at_the_next_message():
    async with processes("a", "b") as (a, b, _):
        await a.ask(b)
        b.answering.clear()
        asked = asyncio.create_task(a.ask(b, 3))
        await settle(lambda: len(b.taken) > 1)
        for line in list(b.lines.lines):
            line.comm.abort()
        b.answering.set()
        with pytest.raises(OSError):
            await asked
        await settle(lambda: not a.lines.current)
        await a.ask(b)
        assert (a.opened, a.open) == (2, 1)


@in_loop
async def test_a_line_on_which_nothing_comes_is_set_aside_for_another():
    async with processes("a", "b") as (a, b, time):
        await a.ask(b)
        b.answering.clear()
        hanging = asyncio.create_task(a.ask(b))
        await settle(lambda: len(b.taken) == 2)
        a.lines.doubt("b", 1.0)
        assert "b" in a.lines.current
        time[0] = 1.0
        for _ in range(3):
            a.lines.doubt("b", 1.0)
            further = asyncio.create_task(a.ask(b))
            await settle(lambda: "b" in a.lines.current)
        assert (a.opened, a.open) == (2, 2)
        b.answering.set()
        await asyncio.gather(hanging, further)
        time[0] += ASIDE + 1.0
        a.lines.close_idle()
        await settle(lambda: a.open == b.open == 1)


@in_loop
async def test_whoever_waits_no_longer_gives_up_a_line_that_is_silent():
    async with processes("a", "b") as (a, b, time):
        await a.ask(b)
        b.answering.clear()
        time[0] = 5.0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(a.ask(b), 0.05)
        await settle(lambda: not a.open)
        b.answering.set()
        await a.ask(b)
        assert a.opened == 2


@in_loop
async def test_lines_that_nobody_needs_are_closed():
    async with processes("a", "b") as (a, b, time):
        await a.ask(b)
        time[0] = IDLE - 1.0
        a.lines.close_idle()
        assert a.open == 1
        time[0] = IDLE + 1.0
        b.lines.close_idle()  # it has not opened it
        assert b.open == 1
        a.lines.close_idle()
        await settle(lambda: a.open == b.open == 0)


@in_loop
async def test_what_is_for_a_process_that_is_gone_goes_nowhere():
    async with processes("a", "b") as (a, b, _):
        a.addresses["before b"] = a.addresses["b"]
        await a.lines.ask("before b", {"array": 1})
        assert (b.taken, a.open) == ([], 0)


@in_loop
async def test_a_process_that_has_left_opens_no_more():
    async with processes("a", "b") as (a, b, _):
        await a.ask(b)
        a.lines.close()
        await settle(lambda: not a.open)
        with pytest.raises(OSError):
            await a.ask(b)
        assert a.opened == 1


def test_a_process_that_stands_still_waits_for_nobody(monkeypatch):
    time = [0.0]
    monkeypatch.setattr(awake.clock, "now", lambda: time[0])
    counting = Awake(0.5, ticked=0.0)

    def after(seconds):
        time[0] += seconds
        counting.tick()
        return counting.now()

    assert [after(0.5) for _ in range(3)] == [0.5, 1.0, 1.5]
    assert after(0.75) == 1.75
    assert [after(60.0), after(1.0)] == [1.75, 1.75]
    assert after(0.5) == 2.25
    time[0] += 60.0
    assert counting.now() == 2.25
