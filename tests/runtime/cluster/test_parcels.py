"""Large arrays are sent in parts: put together they are what they were, and each part is acknowledged."""

import numpy as np
import pytest
from distributed.protocol.serialize import Serialize
from test_outbox import Connection, exchange, push, sent

from lnet.runtime.cluster.protocol.wire import Malformed
from lnet.runtime.cluster.transport import outbox, parcels
from lnet.runtime.cluster.transport.parcels import Parcel, Parcels
from lnet.runtime.engine.rounding import BFLOAT16


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parcels, "PART", 600)
    monkeypatch.setattr(outbox, "PART", 600)
    monkeypatch.setattr(outbox, "INLINE", 100)
    monkeypatch.setattr(outbox, "PAUSE", 0.0)


def put_together(calls):
    """What the other end makes of all that is sent to it; its arrays."""
    found = Parcels()
    *parts, message = map(bare, calls)
    for content in parts:
        assert sum(part.nbytes for part in content["arrays"]) <= 600
        found.put("me", content["part"], content["arrays"], 10**6)
    return found.opened("me", message["arrays"] if "address" in message else message["payloads"][0])


def bare(value):
    """What Dask hands over on the other side."""
    if isinstance(value, Serialize):
        return value.data
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items()}
    return [bare(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("wire", "kind"), [("float32", "<f4"), (BFLOAT16, "<u2")])
def test_a_large_payload_arrives_as_it_was(wire, kind):
    connection = Connection()
    assert sent(connection, push, wire)[1] == []
    arrays = put_together(connection.taken)
    assert arrays["w"].dtype == kind
    assert arrays["w"].shape == (1000,)
    assert not arrays["w"].flags.writeable
    assert len(connection.taken) == 1 + -(-arrays["w"].nbytes // 600)


def test_so_does_a_large_exchange():
    connection = Connection()
    sent(connection, exchange)
    (array,) = put_together(connection.taken)
    np.testing.assert_array_equal(array, np.ones(250, np.float32))
    assert all(content["address"][:7] == [0, 1, 2, 0, "values 0", 0, 1] for content in connection.taken)


def test_after_a_failure_all_of_it_is_sent_again():
    connection = Connection(failures=1)
    assert sent(connection, push) == ({"push": 4000}, [])
    assert put_together(connection.taken)["w"].sum() == 1000
    assert connection.calls == 1 + 7 + 1


def test_any_shape_is_put_together_again():
    rng = np.random.default_rng(0)
    for shape in [(151,), (30, 7), (2, 3, 4, 50)]:
        array = rng.normal(size=shape).astype(np.float32)
        found, parcel = Parcels(), Parcel(5, array.transpose())
        for numbers, part in parcel.parts():
            found.put("a", list(numbers), [part], array.nbytes)
        np.testing.assert_array_equal(found.opened("a", [parcel.stub])[0], array.transpose())


PART = np.zeros(600, np.uint8)


@pytest.mark.parametrize(
    ("numbers", "parts", "said"),
    [
        (None, [PART], "expected the numbers of a part"),
        ([1, 2.0, 3], [PART], "expected the numbers of a part"),
        ([1, 2000, 0], [PART], "2,000 bytes, where 1,000 are the most"),
        ([1, -1, 0], [PART], "-1 bytes"),
        ([1, 1000, 600], [PART], "does not go on with its array"),
        ([1, 500, 0], [PART], "does not go on with its array"),
        ([1, 1000, -600], [PART], "does not go on with its array"),
        ([1, 1000, 0], [], "does not go on with its array"),
        ([1, 1000, 0], [PART.view(np.int16)], "does not go on with its array"),
        ([1, 1000, 0], ["text"], "does not go on with its array"),
    ],
)
def test_a_part_that_does_not_belong_is_refused(numbers, parts, said):
    with pytest.raises(Malformed, match=said):
        Parcels().put("a", numbers, parts, 1000)


@pytest.mark.parametrize(
    ("stub", "said"),
    [
        ({}, "expected the parcel"),
        ({"parcel": 1, "shape": [150], "kind": "O"}, "expected the parcel"),
        ({"parcel": 1, "shape": [-150], "kind": "<f4"}, "expected the sizes"),
        ({"parcel": 1, "shape": [150.0], "kind": "<f4"}, "expected the sizes"),
        ({"parcel": 2, "shape": [150], "kind": "<f4"}, "parts are missing"),
        ({"parcel": 1, "shape": [151], "kind": "<f4"}, "parts are missing"),
    ],
)
def test_a_stub_without_its_array_is_refused(stub, said):
    found = Parcels()
    found.put("a", [1, 600, 0], [PART], 1000)
    assert found.opened("a", {"w": {"parcel": 1, "shape": [150], "kind": "<f4"}})["w"].shape == (150,)
    found.put("a", [1, 600, 0], [PART], 1000)
    with pytest.raises(Malformed, match=said):
        found.opened("a", {"w": stub})


def test_another_sender_has_parcels_of_its_own():
    found = Parcels()
    found.put("a", [1, 600, 0], [PART], 1000)
    with pytest.raises(Malformed, match="parts are missing"):
        found.opened("b", [{"parcel": 1, "shape": [150], "kind": "<f4"}])
