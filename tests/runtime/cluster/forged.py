"""Messages to a worker that do not belong: malformed, oversized, of another run, of another term, of no tile."""

from dataclasses import replace

import numpy as np
from distributed.protocol.serialize import to_serialize
from processes import address_of

from lnet.compiler.cut.schedule import schedule
from lnet.runtime.cluster.actors.numerics import shard_shapes
from lnet.runtime.cluster.actors.roles_plugin import RolesPlugin
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.names import DELIVER
from lnet.runtime.cluster.protocol.messages import (
    AppendEntries,
    LogEntry,
    Push,
    PushedUpdate,
    StandbyFence,
    TileFence,
)
from lnet.runtime.cluster.protocol.updates import Update
from lnet.runtime.cluster.protocol.wire import pack
from lnet.runtime.engine.exchanges import exchanges

REASONS = (
    "must be float32",
    "bytes, where",
    "expected the arrays",
    "no shard 99",
    "of another run",
    "of another term",
    "malformed: Push: expected the fields",
    "malformed: message: no such kind",
    "malformed: expected an address",
    "malformed: no such tile",
    "malformed: no such exchange",
    "malformed: 'values 0' of tile 1 must be float32",
    "of a generation that is over",
)
"""Why they are refused, all of them together; what is sent last is refused for the last of them."""
STEP = 2000
"""One that the run does not come to while they are sent."""


class Forger:
    """Sends to the worker of a name as if it were one of the run, and keeps the answers."""

    def __init__(self, client, name, plan):
        self.client, self.plan, self.answers = client, plan, []
        self.address = address_of(client, name)
        self.run, self.me = client.run(_run_and_name, workers=[self.address])[self.address]
        config = RunConfig(self.run, plan.to_json(), "", "", None, 1, 1)
        self.shard = {name: np.ones(shape, np.float32) for name, shape in shard_shapes(config, 0).items()}
        self.fence = TileFence(self.run, 0, 1, 0, 0)

    def forge(self):
        """Send all of them and return the answers: the last is for another run, whose host is not here."""
        self.pushes()
        self.log({})
        self.malformed()
        self.exchanges()
        self.deliver(token="another")
        return self.answers

    def pushes(self):
        whole, fence = self.shard, self.fence
        wrong = next(iter(whole))
        self.push(fence, whole | {wrong: np.ones((2, 2), np.float32)})
        self.push(fence, {name: array.astype(np.int32) for name, array in whole.items()})
        self.push(fence, whole | {wrong: np.ones(10_000_000, np.float32)})
        self.push(fence, {})
        self.push(replace(fence, run="another"), whole)
        self.push(replace(fence, term=99), whole)
        self.push(replace(fence, shard=99), whole)

    def malformed(self):
        self.deliver({"kind": "Push", "fence": 1})
        self.deliver("no message")
        self.deliver(address=[0, 1], arrays=[])
        self.deliver(address=["0", None, 1, 0, "e", 1, 0], arrays=[])
        self.deliver(address=[0, 1, STEP, 0, "values 0", 0, 7, 0], arrays=[])

    def exchanges(self):
        right = np.ones(self.shape_of_values(), np.float32)
        self.exchange()
        self.exchange(right[1:])
        self.exchange(right.astype(np.float64))
        self.exchange(right, right)
        self.exchange("x")
        self.exchange(right, name="e")
        self.exchange(right, generation=0)

    def shape_of_values(self):
        """The shape of what either of the two tiles sends first."""
        graph, partition = self.plan.graph, self.plan.partition
        ((shape,),) = {
            shapes
            for tile in (0, 1)
            for (_, name), shapes in exchanges(
                graph, partition, schedule(graph, partition, tile), graph.training.batch
            ).items()
            if name == "values 0"
        }
        return shape

    def push(self, fence, arrays):
        data, _ = pack(Push(fence, Update(0, 1), 0, arrays))
        self.deliver(data, [_serialised(arrays)])

    def log(self, arrays):
        entry = LogEntry(1, PushedUpdate(Update(0, 1), 1, arrays, 0, 0))
        data, _ = pack(AppendEntries(StandbyFence(self.run, 0, 1, 1), (entry,)))
        self.deliver(data, [_serialised(arrays)])

    def exchange(self, *arrays, generation=1, name="values 0"):
        """To both tiles."""
        for tile in (0, 1):
            self.deliver(address=[0, generation, STEP, 0, name, 1 - tile, tile, 0], arrays=list(arrays))

    def deliver(self, message=None, payloads=(), token=None, **details):
        content = {
            "message": message,
            "payloads": payloads,
            "sender": "tester",
            "receiver": self.me,
            **details,
        }
        self.answers.append(self.client.sync(self._deliver, run=token or self.run, **content))

    async def _deliver(self, **content):
        return await getattr(self.client.rpc(self.address), DELIVER)(**content)


def _serialised(arrays):
    return {name: to_serialize(array) for name, array in arrays.items()}


def _run_and_name(dask_worker):
    (host,) = [plugin for plugin in dask_worker.plugins.values() if isinstance(plugin, RolesPlugin)]
    return host.config.run, host.me
