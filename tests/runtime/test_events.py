"""The log of a run: its lines are events and back, and what becomes of them when the disk has no room."""

import json
from pathlib import Path
from random import Random

import msgspec
import pytest
from made_events import event, step

from lnet.compiler.core.codec import Malformed
from lnet.dsl.diagnostics import LnetWarning
from lnet.runtime.cluster import published
from lnet.runtime.store import log
from lnet.runtime.store.events import (
    LOGGED,
    ClusterStepDone,
    Event,
    Failed,
    StepDone,
    UpdatesLost,
    Warned,
    WorkerLost,
)
from lnet.runtime.store.log import KINDS, EventLog, decode, encode, line_of, read_events
from lnet.runtime.store.sums import Slowest


def test_events_that_the_disk_has_no_room_for_are_kept_until_it_has(tmp_path):
    class Disk:
        room = 10**6

        def __init__(self, file):
            self.file = file

        def write(self, data):
            if not self.room:
                raise OSError(28, "No space left on device")
            written = self.file.write(data[: self.room])
            self.room -= written
            return written

        def close(self):
            self.file.close()

    said = []
    log = EventLog(tmp_path / "events.jsonl", said.append)
    log._file = disk = Disk(log._file)
    log.add(step(1))
    disk.room = 10
    log.add(step(2))
    log.add(step(3))
    assert said == [
        "'events.jsonl' cannot be written now, so events are kept: [Errno 28] No space left on device"
    ]
    disk.room = 10**6
    log.add(step(4))
    assert [event.step for event in read_events(tmp_path / "events.jsonl")] == [1, 2, 3, 4]
    disk.room = 0
    log.add(step(5))
    log.close()
    assert said[-1] == "'events.jsonl' could not be written: its last 1 events are lost"


# --- lines ---------------------------------------------------------------------------------------------------------

RUNTIME = Path(__file__).parent
LOGS = (RUNTIME / "run_of_0_1/events.jsonl", RUNTIME / "cluster/recorded.jsonl")


def subclasses(kind):
    return {found for child in kind.__subclasses__() for found in ({child.__qualname__} | subclasses(child))}


def test_every_kind_is_known_to_the_log_or_is_published():
    kinds = subclasses(Event) - {"LogEvent"}
    assert kinds == {kind.__qualname__ for kind in (*LOGGED, *published.KINDS.values())}
    assert {kind.name for kind in LOGGED} == set(KINDS)
    assert len(LOGGED) == len(KINDS) + 1, "a step has two classes"
    assert all(kind.__doc__ for kind in LOGGED)


@pytest.mark.parametrize("kind", dict.fromkeys([*LOGGED, *published.KINDS.values()]))
def test_an_event_is_what_its_line_says(kind):
    made = event(kind)
    line = json.dumps(encode(made))
    assert line.startswith(f'{{"event": "{kind.name}"')
    assert decode(json.loads(line), published.KINDS) == made


def test_what_is_none_by_default_is_not_in_a_line():
    assert list(encode(Warned("w", time=3.0)).items()) == [
        ("event", "warning"),
        ("time", 3.0),
        ("message", "w"),
    ]
    assert encode(UpdatesLost(0, None, 1, "gone"))["checkpoint"] is None
    failed = Failed(3, "no", lost=("a",), notes=(), worker="w")
    assert decode(encode(failed), KINDS) == failed


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.parent.name)
def test_a_recorded_log_is_written_again_as_it_was(path):
    """Fields that are missing in it have their defaults."""
    events, lines = read_events(path), [json.loads(line) for line in path.read_text().splitlines()]
    assert len(events) == len(lines)
    for found, line in zip(events, lines, strict=True):
        again = json.loads(json.dumps(encode(found)))
        assert [name for name in again if name in line] == list(line)
        assert {name: again[name] for name in line} == line
        assert set(again) - set(line) <= {"accuracies", "wire", "torn"}


def test_a_step_of_a_cluster_is_one_with_a_replica():
    slowest = Slowest(1, 0.5, 0.25, 0.125)
    spread = step(3, replica=1, slowest=slowest, traffic=7, terms={"a": float("inf")})
    assert decode(json.loads(json.dumps(encode(spread))), KINDS) == spread
    assert type(decode(encode(step(3)), KINDS)) is StepDone
    assert type(decode(encode(spread), KINDS)) is ClusterStepDone


def test_what_a_newer_version_writes_is_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"event": "teleported", "time": 1, "to": "b"}\n{"event": "done", "time": 2, "step": 3, "more": 1}\n'
    )
    (done,) = read_events(path)
    assert (done.name, done.time, done.step) == ("done", 2.0, 3)


def test_a_line_of_the_wrong_type_is_said_and_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"event": "done", "time": 2, "step": "three"}\n{"event": "done", "time": 2, "step": 3}\n'
    )
    with pytest.warns(LnetWarning, match="done.step: expected int, found str"):
        (done,) = read_events(path)
    assert done.step == 3


DAMAGE = b'0159.eE+-"{}[],: aNIy\\u\0\xff\xc3\t'
STEPS = (
    step(41, terms={"a": 0.25, "replica": 3.0}, loss=1e-3, objectives={"a": 2.0}),
    step(42, replica=1, slowest=Slowest(1, 0.5, 0.25, 0.125), traffic=7, terms={"é": 1.5}),
    step(43, terms={"a": float("nan")}, loss=float("-inf"), accuracies={"a top-1": 0.5}),
)


def damaged(line, draw):
    """A line with some bytes changed, inserted or gone, or cut off."""
    for _ in range(draw.choice((0, 1, 1, 2))):
        at, byte = draw.randrange(len(line) - 1), bytes([draw.choice(DAMAGE)])
        after = draw.choice((line[at:], line[at + 1 :], line[at + draw.randrange(40) :], b"\n"))
        line = line[:at] + draw.choice((byte, b"")) + after
    return line


def refusing(line):
    raise msgspec.DecodeError


def test_usual_lines_of_steps_are_read_as_all_others(tmp_path, monkeypatch):
    """They have decoders of their own, which take no line that the others refuse, and find the same in it."""
    draw = Random(0)
    lines = [damaged(line_of(draw.choice(STEPS)), draw) for _ in range(3000)]
    lines += [line_of(STEPS[0]).replace(b'"step": 41', wrong) for wrong in (b'"step": 41.0', b'"step": "41"')]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(lines))
    with pytest.warns(LnetWarning, match="expected"):
        found = read_events(path)
    monkeypatch.setattr(log, "_STEP_DECODERS", [refusing, refusing])
    with pytest.warns(LnetWarning, match="expected"):
        slowly = read_events(path)
    assert repr(found) == repr(slowly)
    assert 1000 < len(found) < 2500, "some lines are damaged, and others not"


def test_a_wrong_field_says_where_it_is():
    line = encode(WorkerLost("w", (), (0,), (), time=1.0)) | {
        "replicas": [{"replica": 0, "tiles": ["x"], "acknowledged": 0}]
    }
    with pytest.raises(Malformed, match=r"worker lost\.replicas\[0\]\.tiles\[0\]: expected int, found str"):
        decode(line, KINDS)


def test_no_event_has_a_field_that_its_class_has_not():
    with pytest.raises(TypeError):
        Warned("w", colour="red")
