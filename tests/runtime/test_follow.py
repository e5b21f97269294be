"""A log that is read while it grows: nothing twice, nothing void, whatever happens to the file meanwhile."""

import os

import pytest
from made_events import step

from lnet.runtime.analysis.history import history_of
from lnet.runtime.store.events import CheckpointWritten, Noted, Resumed, StepDone, StepsDone
from lnet.runtime.store.follow import Follower
from lnet.runtime.store.log import EventLog, line_of, read_events
from lnet.runtime.store.owner import own


def lines(*numbers):
    return b"".join(line_of(step(number, loss=1.0)) for number in numbers)


def seen(follower):
    """Whether all is read anew, and the steps that are read."""
    void, events = follower.read()
    return void, [event.step for event in events if isinstance(event, StepDone)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


@pytest.fixture
def follower(path):
    found = Follower(path)
    yield found
    found.close()


def append(path, content):
    with open(path, "ab") as file:
        file.write(content)


def test_each_line_is_read_once_when_it_is_whole(path, follower):
    assert seen(follower) == (False, [])
    line = lines(3)
    path.write_bytes(lines(1, 2) + line[:20])
    assert seen(follower) == (True, [1, 2])
    assert seen(follower) == (False, [])
    append(path, line[20:-1])
    assert seen(follower) == (False, [])
    append(path, b"\n" + lines(4))
    assert seen(follower) == (False, [3, 4])
    append(path, line[:20] + b"\n" + lines(5))  # a killed process left a part, and another one ended the line
    assert seen(follower) == (False, [5])


def test_after_a_resume_later_steps_before_it_are_not_read(path, follower):
    path.write_bytes(lines(1, 2, 3))
    assert seen(follower) == (True, [1, 2, 3])
    append(path, line_of(Resumed(2)) + lines(3, 4))
    assert seen(follower) == (True, [1, 2, 3, 4])
    append(path, lines(5))
    assert seen(follower) == (False, [5])


@pytest.mark.parametrize("content", [lines(7), lines(7, 8, 9), lines(*range(7, 20))])
def test_another_file_in_the_place_of_the_log(path, follower, content):
    path.write_bytes(lines(1, 2, 3))
    assert seen(follower) == (True, [1, 2, 3])
    other = path.with_name("other")
    other.write_bytes(content)
    os.replace(other, path)
    void, steps = seen(follower)
    assert (void, steps[0], len(steps)) == (True, 7, content.count(b"\n"))


def test_the_same_file_cut_off_or_written_again(path, follower):
    path.write_bytes(lines(1, 2, 3))
    assert seen(follower) == (True, [1, 2, 3])
    os.truncate(path, len(lines(1)))
    assert seen(follower) == (True, [1])
    path.write_bytes(line_of(Noted("longer than the line of a step " * 20)))
    assert seen(follower) == (True, [])
    path.unlink()
    assert seen(follower) == (True, [])
    assert seen(follower) == (False, [])
    path.write_bytes(lines(8))
    assert seen(follower) == (True, [8])


def test_a_log_that_its_run_thins_meanwhile_tells_the_same(path, follower, monkeypatch):
    """The followed log is that of the report, at every moment."""
    monkeypatch.setattr("lnet.runtime.store.log.LONG", 40_000)
    monkeypatch.setattr("lnet.runtime.store.thin.SUMS", 20)
    log = EventLog(path, owner=own(path.parent, "a" * 32))
    voids, history = 0, history_of(())
    for number in range(1, 601):
        log.add(step(number, images=8 * number, objectives={"V1.learn": 1 / number}))
        if number % 100 == 0:
            log.add(CheckpointWritten(number, f"step-{number}"))
        if number % 7 == 0:
            void, events = follower.read()
            voids += void
            history = history_of(events) if void else history
            for event in () if void else events:
                history.take(event)
    log.close()
    void, events = follower.read()
    for event in events:
        history.take(event)
    now = read_events(path)
    assert any(isinstance(event, StepsDone) for event in now)
    assert 2 <= voids < 20
    assert not void
    expected = history_of(now)
    assert (
        (history.steps.count, history.steps.images)
        == (expected.steps.count, expected.steps.images)
        == (600, 4800)
    )
    assert history.steps.last == expected.steps.last
    assert [e.step for e in history.events] == [100, 200, 300, 400, 500, 600]


def test_a_log_that_may_not_be_read(path, follower):
    path.mkdir()
    with pytest.raises(Exception, match="cannot be read"):
        follower.read()
