"""What the report reads of a log: means, columns, and no more memory than they take."""

import tracemalloc

import made_events
import numpy as np
import pytest
from made_events import begun, event, lines

from lnet.runtime.analysis.history import POINTS, Means, history_of
from lnet.runtime.store.events import CheckpointWritten, Completed, Resumed, Started, StepDone, Validated
from lnet.runtime.store.log import read_events, stream_events


@pytest.mark.parametrize("count", [0, 1, POINTS - 1, POINTS, POINTS + 1, 2 * POINTS + 3, 5000])
def test_means_are_over_runs_of_equally_many_steps(count):
    values = np.random.default_rng(0).random(count)
    means = Means()
    for value in values:
        means.add({"a": value})
    length = means.length
    assert length == 1 or count / length >= POINTS / 2
    assert count <= POINTS * length
    expected = [values[i : i + length].mean() for i in range(0, count, length)]
    np.testing.assert_allclose(means.curves().get("a", []), expected)


def test_what_a_step_does_not_have_counts_for_nothing():
    means = Means()
    for number in range(2 * POINTS):
        means.add({"a": 1.0} if number % 4 == 0 else {"b": 2.0} if number == 1 else {})
    curves = means.curves()
    np.testing.assert_array_equal(curves["a"][::2], 1)
    assert np.isnan(curves["a"][1::2]).all()
    assert curves["b"][0] == 2


def test_a_loss_that_is_not_finite_is_no_number():
    means = Means()
    means.add({"a": float("nan")})
    assert np.isnan(means.curves()["a"]).all()


def step(number, replica=None):
    losses = {f"V{stage}.learn": 1 / (number + stage) for stage in range(12)}
    return made_events.step(number, replica, time=10.0 + number, objectives=losses, terms=losses)


def write(path, events):
    path.write_text("".join(map(lines, events)))
    return path


@pytest.mark.parametrize(("replica", "bytes_a_step"), [(None, 0), (0, 100)])
def test_steps_take_no_memory_but_their_columns(tmp_path, replica, bytes_a_step):
    """As lists of events the log of a long run takes gigabytes."""
    count = 20_000
    path = write(tmp_path / "events.jsonl", (step(number, replica) for number in range(1, count + 1)))
    tracemalloc.start()
    history = history_of(stream_events(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(history.steps) == count
    assert peak < bytes_a_step * count + 1_000_000
    assert history.steps.last["V0.learn"] == pytest.approx(np.mean(1 / np.arange(count - 49, count + 1)))
    assert history.steps.first["V0.learn"] == 1


def test_a_log_that_was_resumed_is_read_as_a_list_and_as_a_stream(tmp_path):
    events = [event(Started), *map(step, range(1, 8)), Resumed(4, time=99.0),
              *map(step, range(5, 9)), CheckpointWritten(9, "x", time=100.0),
              Resumed(6, time=200.0), step(7), Completed(7, time=300.0)]  # fmt: skip
    path = write(tmp_path / "events.jsonl", events)
    with path.open("a") as file:
        file.write('{"event": "step", "ti')
    assert [found.step for found in read_events(path) if isinstance(found, StepDone)] == [1, 2, 3, 4, 5, 6, 7]
    assert [found.name for found in read_events(path, steps=False)] == [
        "start",
        "resume",
        "resume",
        "done",
    ]
    history = history_of(stream_events(path))
    assert history.made == [0, 0, 0, 0]
    assert (len(history.steps), history.steps.newest.step) == (7, 7)
    assert not history.steps.on_cluster


def test_validations_stand_at_the_steps_that_the_log_counts(tmp_path):
    """A validation has the steps of each replica, a step on a cluster is one of all replicas."""

    def validated(number, best=False):
        figures = {"objectives": {"learn": 2.0 * number}, "accuracies": {"learn top-1": 0.1 * number}}
        return event(Validated, step=number, images=10, best=best, **figures)

    events = [event(Started), step(1), step(2), validated(2, best=True), step(3), step(4), validated(4),
              Resumed(2, time=20.0), begun(replicas=3, workers=3), *map(step, range(7, 13)), validated(4),
              Resumed(4, time=30.0), step(5), validated(5)]  # fmt: skip
    history = history_of(stream_events(write(tmp_path / "events.jsonl", events)))
    found = history.validations
    np.testing.assert_array_equal(found.at, [2, 12, 5])
    np.testing.assert_array_equal(found.objectives.curves()["learn"], [4, 8, 10])
    np.testing.assert_allclose(found.accuracies.curves()["learn top-1"], [0.2, 0.4, 0.5])
    assert (found.newest.step, found.best.step) == (5, 2)
