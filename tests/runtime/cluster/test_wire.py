"""Every message that a run sends survives the way over the wire, and no damaged one is taken for a message."""

import json
import random
from typing import get_args

import pytest
from properties import Watch
from simulator import Cluster, spec

from lnet.runtime.cluster.actors.validator import PayloadValidator
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.deaths import Cause
from lnet.runtime.cluster.protocol.messages import Message, ProcessExited, ShardMetadata
from lnet.runtime.cluster.protocol.updates import AppliedUpdates, SlotUpdates
from lnet.runtime.cluster.protocol.wire import KINDS, Malformed, pack, unpack


def sent(staleness):
    """Return one message of each shape that a run sends, and its manifest."""
    found = {}

    class Listening(Cluster):
        def _Send(self, process, send):
            data, _ = pack(send.message)
            found.setdefault(json.dumps(shape(data)), send.message)
            super()._Send(process, send)

    cluster = Listening(0, spec(staleness=staleness, workers=3, checkpoint=4), 3, Watch())
    cluster.after(0.8, lambda: cluster.crash(cluster.workers()[0], noticed=True))
    cluster.after(1.2, cluster.join, 5)
    assert cluster.run(60)
    return [*found.values(), *cluster.manifests]


def shape(data):
    if isinstance(data, dict):
        return {name: shape(value) for name, value in data.items()}
    return [shape(item) for item in data] if isinstance(data, list) else type(data).__name__


ENDED = ProcessExited("run1", "tcp://10.0.0.1:1", "worker-0", Cause("memory", 2**28))
MESSAGES = [*sent(None), *sent(0), ENDED]


def test_all_kinds_are_there():
    assert {type(message).__name__ for message in MESSAGES} >= set(KINDS) - {"Books"}


def test_a_message_comes_back_as_it_was():
    for message in MESSAGES:
        data, payloads = pack(message)
        assert unpack(json.loads(json.dumps(data)), payloads) == message


@pytest.mark.parametrize("kind", get_args(Message), ids=lambda kind: kind.__name__)
def test_payloads_are_looked_at_before_they_are_taken(kind):
    """A validator without a run fails where it looks at an array, and nowhere else."""
    for message in (message for message in MESSAGES if isinstance(message, kind)):
        validator = PayloadValidator(None, None, None)
        if pack(message)[1]:
            with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
                validator.check(message)
        else:
            validator.check(message)


BOOKS = {
    "kind": "Books",
    "head": 5,
    "committed": 0,
    "seen": {"slots": [{"floor": 2, "above": [4, 6], "takes": [[1, 1], [4, 2], [6, 2]]}]},
}
"""What version 0.1 wrote beside a shard of a checkpoint."""


def test_metadata_of_a_shard_is_read_and_written_as_in_0_1():
    slot = SlotUpdates(2, frozenset({4, 6}), ((1, 1), (4, 2), (6, 2)))
    metadata = ShardMetadata(5, 0, AppliedUpdates((slot,)))
    assert unpack(BOOKS) == metadata
    assert json.loads(json.dumps(pack(metadata)[0])) == BOOKS


def places(data, path=()):
    """Yield the path to every value in some data."""
    yield path
    if isinstance(data, dict | list):
        for key in data if isinstance(data, dict) else range(len(data)):
            yield from places(data[key], (*path, key))


def replaced(data, path, value):
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = replaced(data[path[0]], path[1:], value)
    return copy


def test_a_damaged_message_is_malformed_or_another_message():
    chance = random.Random(0)
    refused = 0
    for message in MESSAGES:
        data, payloads = pack(message)
        for path in places(data):
            wrong = chance.choice([{"kind": "os.system"}, [["x"]], "text", True, 1e400, -1, {}])
            try:
                again = unpack(replaced(data, path, wrong), payloads)
            except Malformed:
                refused += 1
            else:
                assert type(again) is type(message)
    assert refused > 100


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], "message: no such kind: None"),
        ({"kind": "eval"}, "message: no such kind: 'eval'"),
        ({"kind": "AppendAck", "head": 1}, "AppendAck: expected the fields fence, head"),
        (
            {
                "kind": "AppendAck",
                "fence": {"run": "r", "shard": True, "term": 1, "incarnation": 1},
                "head": 1,
            },
            "AppendAck.fence.shard: expected int",
        ),
        (
            {"kind": "InstallSnapshot", "fence": 3, "metadata": 1, "staged": [], "payload": 7},
            "InstallSnapshot.fence: expected the fields",
        ),
    ],
)
def test_it_says_where(data, expected):
    with pytest.raises(Malformed, match=expected):
        unpack(data)


def test_every_instruction_is_performed_by_the_simulator():
    for kind in do.Instruction.__args__:
        assert hasattr(Cluster, f"_{kind.__name__}"), kind
