"""How long what is sent may take, what is counted, and what is said of what does not arrive."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from lnet.runtime.cluster import clock
from lnet.runtime.cluster.monitor.metrics import Tally
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.messages import Pull, Push, TileFence
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.cluster.protocol.updates import Update
from lnet.runtime.cluster.transport import outbox
from lnet.runtime.cluster.transport.awake import Awake
from lnet.runtime.cluster.transport.inbox import Address
from lnet.runtime.engine.rounding import BFLOAT16, FLOAT32

FENCE = TileFence("run", 0, 1, 0, 1)
TILE = RoleId("tile", 0, 0, 1)


class Connection:
    """Stands for the connections of a process to another one, which takes its time."""

    def __init__(self, seconds=0.0, failures=0):
        self.seconds, self.failures, self.taken, self.calls = seconds, failures, [], 0

    async def ask(self, to, content):
        self.calls += 1
        await asyncio.sleep(self.seconds)
        if self.calls <= self.failures:
            raise OSError("closed")
        self.taken.append(content)


class Hanging(Connection):
    """Never answers the first time."""

    async def ask(self, to, content):
        self.seconds = 0.0 if self.calls else 100.0
        await super().ask(to, content)


def sent(connection, send, wire=FLOAT32, wanted=lambda role: True):
    """Send something, and return what was counted and which roles lost something."""
    tally, lost = Tally(), []

    async def run():
        config = SimpleNamespace(run="run", wire=wire, times=Times())
        letters = outbox.Outbox(
            connection, config, "me", tally, lambda fence, size: None, wanted, lost.append, Awake(0.5)
        )
        send(letters)
        await asyncio.gather(*letters.tasks)

    asyncio.run(run())
    return dict(tally.sent), lost


def push(letters, before=None):
    message = Push(FENCE, Update(0, 1), 0, {"w": np.ones(1000, np.float32)})
    letters.send(do.Send("tcp://there#1", message, before))


def exchange(letters):
    address = Address(0, 1, 2, 0, "values 0", 0, 1)
    letters.send_arrays(TILE, "tcp://there#1", address, [np.ones(250, np.float32)])


def test_large_messages_may_take_longer(monkeypatch):
    monkeypatch.setattr(outbox, "DELIVERY_TIMEOUT", 0.05)
    monkeypatch.setattr(outbox, "PAUSE", 0.0)
    monkeypatch.setattr(outbox, "SLOWEST", 1000)
    small, large = Connection(seconds=0.5), Connection(seconds=0.5)
    assert sent(small, lambda letters: letters.send(do.Send("tcp://there#1", Pull(FENCE, 1)))) == ({}, [])
    assert not small.taken
    assert sent(large, push) == ({"push": 4000}, [])
    (message,) = large.taken
    assert (message["run"], message["sender"], message["receiver"]) == ("run", "me", "tcp://there#1")


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(outbox, "PAUSE", 0.01)
    monkeypatch.setattr(outbox, "DELIVERY_TIMEOUT", 0.2)


def test_arrays_of_a_step_are_tried_as_long_as_somebody_may_wait_for_them(hasty):
    thrice, never = Connection(failures=3), Connection(failures=10**9)
    assert sent(thrice, exchange) == ({"exchange": 1000}, [])
    assert thrice.taken[0]["address"] == [0, 1, 2, 0, "values 0", 0, 1, 0]
    assert thrice.calls == 4
    assert sent(never, exchange) == ({"exchange": 1000}, [TILE])
    given_up = Connection(failures=10**9)
    assert sent(given_up, exchange, wanted=lambda role: given_up.calls < 3) == ({"exchange": 1000}, [])
    assert given_up.calls == 3


def test_arrays_whose_reply_is_lost_go_over_another_connection():
    """A connection that hangs is left after `link_timeout`, long before the tile is given up."""
    hanging = Hanging()
    assert sent(hanging, exchange) == ({"exchange": 1000}, [])
    assert (hanging.calls, len(hanging.taken)) == (2, 1)


def test_a_message_that_does_not_arrive_twice_is_the_protocols(hasty):
    once, gone = Connection(failures=1), Connection(failures=2)
    assert sent(once, push) == ({"push": 4000}, [])
    assert sent(gone, push) == ({"push": 4000}, [])
    assert (once.calls, gone.calls) == (2, 2)
    assert once.taken
    assert not gone.taken


def test_gradients_are_rounded_if_the_run_wants_it():
    connection = Connection()
    assert sent(connection, push, BFLOAT16) == ({"push": 2000}, [])
    ((payload,),) = [message["payloads"] for message in connection.taken]
    assert payload["w"].data.dtype == np.uint16


def test_what_is_late_is_neither_sent_nor_counted():
    connection = Connection()
    assert sent(connection, lambda letters: push(letters, clock.now()), BFLOAT16) == ({}, [])
    assert connection.calls == 0
