"""What of a log goes to a tracker, by one that writes down what it is given."""

import numpy as np
import pytest
from made_events import begun, event, lines, step

from lnet.runtime.analysis.track.feed import MESSAGES, STATES, Feed
from lnet.runtime.analysis.track.names import without_paths
from lnet.runtime.analysis.track.position import Position
from lnet.runtime.analysis.track.rows import Rows
from lnet.runtime.store.events import (
    CheckpointWritten,
    Completed,
    Failed,
    Resumed,
    RolledBack,
    RunInterrupted,
    StepsDone,
    Validated,
    Warned,
)
from lnet.runtime.store.log import stream_events
from lnet.runtime.store.sums import Figures

TURNS = (Resumed, RolledBack)


class Notebook:
    """A tracker that keeps what it is given, without times."""

    place, state = "here", {}

    def __init__(self):
        self.pages = []

    def scalars(self, step, time, values):
        self.pages.append((step, dict(values)))

    def message(self, step, time, kind, text):
        self.pages.append((step, kind, text))

    def turn_back(self, step):
        self.pages.append(("back to", step))

    def send(self, tracker, step, time, file):
        """The parameters of a checkpoint."""
        self.pages.append((step, file))


class Sent:
    """A log that is sent part after part, by one process or by several, one after the other."""

    def __init__(self, path, every=1, rate=lambda step: 0.5):
        self.path, self.every, self.rate = path, every, rate
        self.position, self.notebook = Position(), Notebook()

    def feed(self):
        return Feed(lambda: self.notebook, self.position, Rows(self.every), self.rate, self.notebook)

    def add(self, *events):
        """Append events to the log, and return what a process sends that reads the log from its beginning."""
        with open(self.path, "a") as file:
            file.write(lines(*events))
        self.notebook.pages.clear()
        feed = self.feed()
        for each in stream_events(self.path):
            feed.take(each)
        self.state = feed.state
        return list(self.notebook.pages)


@pytest.fixture
def sent(tmp_path):
    return Sent(tmp_path / "events.jsonl")


def numbers(pages):
    """The steps of the rows among what was sent."""
    return [page[0] for page in pages if isinstance(page[1], dict)]


def test_each_event_is_sent_once_by_however_many_processes(sent):
    first = [step(1, loss=4.0), step(2, loss=3.0), Warned("hot")]
    assert sent.add(*first) == [
        (1, {"train/loss": 4.0, "train/learning_rate": 0.5, "speed/images_per_second": 2.0}),
        (2, {"train/loss": 3.0, "train/learning_rate": 0.5, "speed/images_per_second": 2.0}),
        (2, "warning", "hot"),
    ]
    assert sent.add() == []
    assert sent.state == "running"
    validated = event(
        Validated, step=2, loss=3.5, objectives={"a": 3.0, "b[1].c": 0.5}, accuracies={"t top-1": 0.25}
    )
    assert sent.add(validated, CheckpointWritten(2, "step-2"), step(3), Completed(3)) == [
        (
            2,
            {
                "validation/loss": 3.5,
                "validation/a": 3.0,
                "validation/b-1.c": 0.5,
                "validation/t_top-1": 0.25,
            },
        ),
        (2, "step-2"),
        (3, {"train/loss": 0.0, "train/learning_rate": 0.5, "speed/images_per_second": 2.0}),
    ]
    assert sent.state == "done"
    assert sent.add() == []


@pytest.mark.parametrize("cut", range(9))
def test_a_run_that_is_sent_in_two_parts_is_sent_as_a_whole(tmp_path, cut):
    log = [
        step(1),
        Warned("a"),
        step(2),
        CheckpointWritten(2, "two"),
        step(3),
        Warned("b"),
        step(4),
        Completed(4),
    ]
    whole, parts = Sent(tmp_path / "whole.jsonl"), Sent(tmp_path / "parts.jsonl")
    assert whole.add(*log) == parts.add(*log[:cut]) + parts.add(*log[cut:])


def test_a_run_that_is_resumed_sends_again_what_is_void(sent):
    assert numbers(sent.add(step(1), step(2), CheckpointWritten(2, "two"), step(3), step(4))) == [1, 2, 3, 4]
    assert sent.add(Resumed(2), step(3, loss=9.0)) == [
        ("back to", 2),
        (2, "resume", "resumed from step 2"),
        (3, {"train/loss": 9.0, "train/learning_rate": 0.5, "speed/images_per_second": 2.0}),
    ]
    assert numbers(sent.add(step(4), CheckpointWritten(4, "four"), RunInterrupted(4))) == [4]
    assert sent.add(Resumed(4), step(5))[0] == (4, "resume", "resumed from step 4"), "nothing is void"
    assert numbers(sent.add(step(6))) == [6]


def test_who_comes_later_is_sent_nothing_void(sent):
    pages = sent.add(step(1), step(2), step(3), Resumed(1), step(2, loss=7.0), Failed(2, "the end"))
    assert numbers(pages) == [1, 2]
    assert pages[-2][1]["train/loss"] == 7.0
    assert pages[-1] == (2, "failed", "the end")
    assert sent.state == "failed"
    assert not [page for page in pages if page[0] == "back to"]


def test_a_cluster_that_rolls_back_repeats_steps_in_its_log(sent):
    both = begun(replicas=1), step(1, 0), step(2, 0), step(3, 0)
    pages = sent.add(*both, RolledBack(0, 1, 1, 3, "again"), step(2, 0), step(3, 0))
    assert numbers(pages) == [1, 2, 3, 2, 3]
    assert ("back to", 1) in pages
    assert sent.add() == []


def test_a_row_has_a_step_of_every_replica(sent):
    """Of a cluster's steps, which overlap, the time between their ends counts; not that before another process goes on."""
    found = sent.add(
        begun(replicas=2),
        step(1, 0, loss=1.0, images=4, objectives={"a": 1.0, "b": 0.0}, time=10.0),
        step(2, 1, loss=3.0, images=8, objectives={"a": 1.0, "b": 2.0}, time=10.75),
        step(3, 0, images=12, time=11.0),
    )
    rows = {"train/loss": 2.0, "train/a": 1.0, "train/b": 1.0}
    assert found == [(1, {**rows, "train/learning_rate": 0.5, "speed/images_per_second": 8.0})]
    (row,) = sent.add(step(4, 1, images=16, time=11.5))
    assert row[0] == 2
    assert row[1]["speed/images_per_second"] == pytest.approx(8 / 0.75)
    *_, row = sent.add(
        Resumed(2), begun(replicas=2), step(5, 0, images=20, time=99.0), step(6, 1, images=24, time=99.25)
    )
    assert row[1]["speed/images_per_second"] == pytest.approx(8 / 0.5)


def test_the_rate_is_that_of_the_replicas_step(tmp_path):
    sent = Sent(tmp_path / "events.jsonl", rate=lambda step: step / 10)
    found = sent.add(begun(replicas=2), *(step(number, number % 2) for number in range(1, 5)))
    assert [page[1]["train/learning_rate"] for page in found] == [0.1, 0.2]


def test_means_over_some_steps(tmp_path):
    sent = Sent(tmp_path / "events.jsonl", every=10)
    found = sent.add(*(step(number, loss=float(number), images=3 * number) for number in range(1, 26)))
    assert [(page[0], page[1]["train/loss"]) for page in found] == [(10, 5.5), (20, 15.5)]
    assert found[0][1]["speed/images_per_second"] == pytest.approx(6.0)
    assert numbers(sent.add(RunInterrupted(25))) == [25]
    found = sent.add(Resumed(25), *(step(number, loss=1.0) for number in range(26, 31)))
    assert numbers(found) == [30]


def test_a_validation_that_is_void_turns_back_even_where_its_row_was_not_sent(tmp_path):
    sent = Sent(tmp_path / "events.jsonl", every=10)
    sent.add(*(step(number) for number in range(1, 15)), event(Validated, step=14))
    assert [page[0] for page in sent.add(Resumed(12), event(Validated, step=14))] == ["back to", 12, 14]


def test_a_log_that_was_thinned(sent):
    def sums(last, count):
        figures = Figures(count, 2.0 * count, 1.0, 3.0)
        seconds = Figures(count, 0.5 * count, 0.5, 0.5)
        return event(StepsDone, step=last, images=4 * last, count=count, loss=figures, seconds=seconds)

    found = sent.add(step(1, images=4), sums(5, 4), sums(8, 3), step(9, images=36))
    assert numbers(found) == [1, 5, 8, 9]
    assert found[1][1]["train/loss"] == 2.0
    assert found[1][1]["speed/images_per_second"] == pytest.approx(8.0)
    sent.path.write_text(lines(sums(9, 9), step(10)))
    assert numbers(sent.add()) == [10]


def test_every_message_has_a_text(sent):
    kinds = [kind for kind in MESSAGES if kind not in TURNS]
    pages = sent.add(
        *(event(kind, **dict.fromkeys({"message"} & set(kind.__slots__), "said")) for kind in kinds)
    )
    assert [page[1] for page in pages] == [kind.name for kind in kinds]
    assert all(page[2] for page in pages)
    assert set(STATES.values()) == {"running", "done", "stopped", "failed"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'/home/ann/a b/photo.jpg' is corrupt", "'photo.jpg' is corrupt"),
        ("no space in /mnt/disk-3/ann/runs/a: 28", "no space in a: 28"),
        ("3 images/s, 1/2 of them, 'and/or'", "3 images/s, 1/2 of them, 'and/or'"),
        ("see docs/guide.md and http://a.b/c/d", "see docs/guide.md and http://a.b/c/d"),
        ("(/home/ann/x.npy)", "(x.npy)"),
    ],
)
def test_messages_name_no_places_of_a_machine(text, expected):
    assert without_paths(text) == expected


def test_loss_that_is_no_number_is_sent_as_it_is(sent):
    assert np.isnan(sent.add(step(1, loss=float("nan")))[0][1]["train/loss"])
