"""A log that is made shorter: what the report says stays, and what a killed process had written."""

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import made_events
import numpy as np
import pytest
from made_events import begun, event, lines, lost

import lnet
from lnet.compiler.pipeline import compile_source
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source
from lnet.runtime.analysis.history import POINTS, history_of
from lnet.runtime.analysis.report import write_report
from lnet.runtime.analysis.report.cluster import ages_by_replica, failures
from lnet.runtime.analysis.report.timeline import BINS, SPENT, shares
from lnet.runtime.store.events import (
    AgesCounted,
    CheckpointWritten,
    Completed,
    Noted,
    Resumed,
    Started,
    StepDone,
    StepsDone,
    WorkerLost,
)
from lnet.runtime.store.log import EventLog, read_events, stream_events
from lnet.runtime.store.owner import TakenOver, own
from lnet.runtime.store.sums import Slowest
from lnet.runtime.store.thin import SUMS, length_of, steps_in, thinned

BEGAN = 1_790_000_000.0


def step(draw, number, replica, at):
    losses = {name: draw.random() + 100 / number for name in ("V1.learn", "V2.learn")}
    slowest = Slowest(number % 7, 0.9, 0.4, 0.1 + 0.2 * draw.random())
    more = {} if replica is None else {"slowest": slowest, "bytes": number, "traffic": 2 * number}
    seconds = 0.5 + draw.random()
    return made_events.step(
        number, replica, time=at, objectives=losses, terms=losses, loss=sum(losses.values()),
        accuracies={"top-1": draw.random()} if number % 3 else {}, seconds=seconds, waited=0.4, **more
    )  # fmt: skip


def history(count, replicas=None, seed=0):
    """A long run: steps, checkpoints with ages, losses that stop it for a while, and a resume."""
    draw, at = random.Random(seed), BEGAN
    yield event(Started, time=at)
    if replicas:
        yield begun(replicas=replicas, time=at)
    number, resumes = 0, 1
    while number < count:
        number += 1
        at += 0.25 + 0.1 * draw.random()
        yield step(draw, number, draw.randrange(replicas) if replicas else None, at)
        if number % 500 == 0:
            yield Noted(f"checkpoint {number // 500} is committed", time=at + 0.01)
            yield CheckpointWritten(number // (replicas or 1), f"step-{number}", time=at + 0.02)
            if replicas:
                yield AgesCounted({}, ({number % 5: number},) * replicas, time=at + 0.03)
        if replicas and number % 1501 == 0:
            yield lost("w", time=at + 0.05)
            at += 40
        if number == count // 2 // 1000 * 1000 + 300 and resumes:
            number, resumes = number - 300, 0
            at += 1000
            yield Resumed(number // (replicas or 1), time=at)
            if replicas:
                yield begun(replicas=replicas, time=at)


def short(events, checkpoints=()):
    """Thinned several times, as it grows, and with the newest steps as they are."""
    done, kept, seen = [], [], 0
    for each in events:
        kept.append(each)
        seen += steps_in(each)
        if len(kept) > 1000:
            done, kept = list(thinned([*done, *kept[:500]], length_of(seen), checkpoints)), kept[500:]
    return [*done, *kept]


def valid(tmp_path, events):
    path = tmp_path / "all.jsonl"
    path.write_text("".join(map(lines, events)))
    return read_events(path)


@pytest.mark.parametrize("replicas", [None, 3])
def test_the_report_is_the_same(tmp_path, replicas, monkeypatch):
    monkeypatch.setattr("lnet.runtime.store.thin.SUMS", 300)
    monkeypatch.setattr("lnet.runtime.analysis.history.POINTS", 100)
    events = valid(tmp_path, history(5000, replicas))
    thin = short(events)
    assert sum(map(steps_in, thin)) == sum(map(steps_in, events)) > 4900
    assert sum(isinstance(each, StepDone) for each in thin) < 1100
    assert sum(isinstance(each, StepsDone) for each in thin) < 600
    whole, less = history_of(events), history_of(thin)
    steps, fewer = whole.steps, less.steps
    assert len(fewer) == len(steps)
    assert (fewer.newest, fewer.on_cluster, fewer.last) == (steps.newest, steps.on_cluster, steps.last)
    assert fewer.first == steps.first
    for name in ("seconds", "waited", "began", "ended"):
        assert getattr(fewer, name) == pytest.approx(getattr(steps, name), rel=1e-9)
    for name in ("objectives", "accuracies", "numbers"):
        curves, others = getattr(steps, name).curves(), getattr(fewer, name).curves()
        assert curves.keys() == others.keys()
        for key, curve in curves.items():
            np.testing.assert_allclose(others[key], curve, rtol=1e-9)
    rows, fewer_rows = failures(whole.timed), failures(less.timed)
    assert fewer_rows == rows
    assert ages_by_replica(less.events) == ages_by_replica(whole.events)
    assert [at for at, each in less.timed if isinstance(each, WorkerLost)] == pytest.approx(
        [at for at, each in whole.timed if isinstance(each, WorkerLost)]
    )
    if replicas:
        assert rows
        for name in ("count", "bytes", "traffic", "traced"):
            assert fewer[name].sum() == steps[name].sum()
        edges, finer = np.linspace(0, steps.ended, BINS + 1), history_of(thinned(events, 2, ())).steps
        for replica in range(replicas):
            found, exact = time_of(finer, replica, edges), time_of(steps, replica, edges)
            np.testing.assert_allclose(found, exact, atol=0.0125)  # a pixel of 80


def time_of(steps, replica, edges):
    own = steps["replica"] == replica
    return shares(steps["began"][own], steps["ended"][own], [steps[name][own] for name in SPENT], edges)


def test_extremes_are_kept(tmp_path):
    events = list(history(3000))
    steps = [each for each in events if isinstance(each, StepDone)]
    sums = [each for each in thinned(steps, 4, ()) if isinstance(each, StepsDone)]
    assert len(sums) > 700
    least = min(each.objectives["V1.learn"].least for each in sums)
    assert least == min(each.objectives["V1.learn"] for each in steps[1:])
    assert max(each.seconds.most for each in sums) == max(each.seconds for each in steps[1:])


@pytest.mark.parametrize("steps", [1, SUMS, 2 * SUMS, 10 * SUMS + 7, 10**6])
def test_a_sum_lies_within_a_point_of_a_curve(steps):
    length, point = length_of(steps), 1
    while steps > point * POINTS:
        point *= 2
    assert point % length == 0
    assert steps / length <= 2 * SUMS


@pytest.mark.parametrize("replicas", [None, 3])
def test_a_resume_from_a_newest_checkpoint_makes_whole_sums_void(tmp_path, replicas):
    steps = [step(random.Random(0), number, replicas and 0, BEGAN + number) for number in range(1, 1001)]
    at = [(replicas or 1) * number for number in (100, 207, 300)]
    start = [begun(replicas=replicas, time=BEGAN)] if replicas else []
    thin = list(thinned([*start, *steps], 64, at))
    for back in at:
        path = tmp_path / "events.jsonl"
        path.write_text(lines(*thin, Resumed(back // (replicas or 1), time=BEGAN + 5000)))
        assert sum(map(steps_in, read_events(path))) == back


def test_a_clock_that_is_set_back_changes_no_time(tmp_path):
    times = [*range(1, 300), *range(100, 400)]
    draw = random.Random(0)
    steps = [step(draw, number, None, BEGAN + at) for number, at in enumerate(times, 1)]
    assert history_of(thinned(steps, 64, ())).steps.ended == history_of(steps).steps.ended == 298 + 299


# --- the file ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def long(monkeypatch):
    """Bytes from which on a log is thinned are few."""
    monkeypatch.setattr("lnet.runtime.store.log.LONG", 100_000)


def filled(path, owner, count=3000, first=1):
    log = EventLog(path, owner=owner)
    for number in range(first, first + count):
        log.add(made_events.step(number, loss=float(number)))
        if number % 1000 == 0:
            log.add(Noted(str(number)))
    return log


def thin_next(log, monkeypatch):
    """Have the whole log thinned when an event is added."""
    monkeypatch.setattr("lnet.runtime.store.log.LONG", 0)
    log._limit = 0


def numbers(events):
    """The numbers of steps that events tell of."""
    return [
        n for each in events if steps_in(each) for n in range(each.step - steps_in(each) + 1, each.step + 1)
    ]


def test_a_log_stays_short_and_has_every_step(tmp_path, monkeypatch):
    monkeypatch.setattr("lnet.runtime.store.thin.SUMS", 100)
    path = tmp_path / "events.jsonl"
    filled(path, own(tmp_path, "a" * 32)).close()
    events = read_events(path)
    assert numbers(events) == list(range(1, 3001))
    assert [each.message for each in events if isinstance(each, Noted)] == ["1000", "2000", "3000"]
    assert path.stat().st_size < 200_000
    assert sum(isinstance(each, StepDone) for each in events) < 1200
    assert sorted(os.listdir(tmp_path)) == ["events.jsonl", "owner.json"]
    assert all(not steps_in(each) for each in read_events(path, steps=False))


def test_a_log_without_an_owner_is_not_touched(tmp_path):
    path = tmp_path / "events.jsonl"
    filled(path, None).close()
    assert sum(isinstance(each, StepDone) for each in read_events(path)) == 3000


def test_a_reader_has_one_file_while_another_takes_its_place(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    log = filled(path, own(tmp_path, "a" * 32), count=250)
    reading = stream_events(path)
    found = [next(reading)]
    before = os.stat(path)
    thin_next(log, monkeypatch)
    log.add(Completed(250))
    log.close()
    assert not os.path.samestat(before, os.stat(path))
    assert len(list(reading)) + len(found) == 251
    assert numbers(read_events(path)) == list(range(1, 251))


def test_readers_see_every_step_once_while_a_log_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("lnet.runtime.store.log.LONG", 20_000)
    path, over, seen = tmp_path / "events.jsonl", threading.Event(), []

    def read():
        while not over.is_set():
            found = numbers(read_events(path))
            seen.append(found == list(range(1, len(found) + 1)))

    path.touch()
    reader = threading.Thread(target=read)
    reader.start()
    try:
        filled(path, own(tmp_path, "a" * 32)).close()
    finally:
        over.set()
        reader.join()
    assert seen
    assert all(seen)


KILLED = """
import os, sys
sys.path[:0] = {paths!r}
import made_events, lnet.runtime.store.log as log
from pathlib import Path
from lnet.runtime.store.owner import own
real, here = os.replace, Path(sys.argv[1])
when, count = sys.argv[2], [0]
def killed(*names):
    if "events" in str(names[1]):
        count[0] += 1
        if count[0] == 3:
            if when == "after": real(*names)
            os.kill(os.getpid(), 9)
    real(*names)
os.replace = killed
log.LONG = 20_000
writer = log.EventLog(here / "events.jsonl", owner=own(here, "a" * 32))
for number in range(1, 10_000):
    writer.add(made_events.step(number))
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_is_killed_meanwhile_loses_nothing(tmp_path, when):
    here = Path(__file__).parents[1]
    code = KILLED.format(paths=[str(here), str(here.parent)])
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, when], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    written = int(done.stdout.split()[-1])
    path = tmp_path / "events.jsonl"
    assert numbers(read_events(path)) == list(range(1, written + 2)), "the last one was written, but not told"
    filled(path, own(tmp_path, "b" * 32), count=50, first=written + 2).close()
    assert numbers(read_events(path)) == list(range(1, written + 52))
    assert sorted(os.listdir(tmp_path)) == ["events.jsonl", "owner.json"]


def test_whoever_owns_the_run_no_more_puts_nothing_in_its_place(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    log = filled(path, own(tmp_path, "a" * 32), count=10)
    other = EventLog(path, owner=own(tmp_path, "b" * 32))
    other.add(Noted("mine"))
    thin_next(log, monkeypatch)
    with pytest.raises(TakenOver):
        log.add(made_events.step(11))
    assert read_events(path)[-2].message == "mine"


def test_one_that_stood_still_while_it_wrote_aside_cannot_rename(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    log, check = filled(path, owner := own(tmp_path, "a" * 32), count=10), type(owner).check
    checks, said = [], []

    def checked(self):
        check(self)
        checks.append(self)
        if len(checks) == 2:  # it stands still here, and wakes up when another one has begun
            monkeypatch.setattr("lnet.runtime.store.log.LONG", 10**6)
            EventLog(path, owner=own(tmp_path, "b" * 32)).add(Noted("mine"))

    monkeypatch.setattr(type(owner), "check", checked)
    thin_next(log, monkeypatch)
    log._told = said.append
    log.add(made_events.step(11))
    assert said[0].startswith("'events.jsonl' could not be made shorter now: ")
    assert read_events(path)[-1].message == "mine"
    log.add(made_events.step(12))
    assert numbers(read_events(path)) == list(range(1, 13))


def test_a_disk_without_room_for_the_shorter_log_keeps_the_long_one(tmp_path, monkeypatch):
    path, said = tmp_path / "events.jsonl", []

    def full(file):
        raise OSError(28, "No space left on device")

    log = filled(path, own(tmp_path, "a" * 32), count=10)
    monkeypatch.setattr(os, "fsync", full)
    thin_next(log, monkeypatch)
    log._told = said.append
    log.add(made_events.step(11))
    log.add(made_events.step(12))
    assert said == ["'events.jsonl' could not be made shorter now: [Errno 28] No space left on device"]
    assert numbers(read_events(path)) == list(range(1, 13))
    assert sorted(os.listdir(tmp_path)) == ["events.jsonl", "owner.json"]


def test_a_run_is_trained_resumed_and_reported_with_a_short_log(tmp_path, monkeypatch):
    monkeypatch.setattr("lnet.runtime.store.log.LONG", 6000)
    monkeypatch.setattr("lnet.runtime.store.thin.SUMS", 8)
    images = np.random.default_rng(0).random((8, 8, 8, 1), np.float32)
    text = """stage s() { filter: local(3, maps = 2); pool: l2pool(2); learn: rica(sparsity = 0.3) }
        network n { image: input(8x8x1); V1: s() }
        train { batch = 4; checkpoint = 10; steps = 75 }"""
    source = Source(text, "n.lnet")
    plan = compile_source(source, {}, Collector(source))
    folder = tmp_path / "run"
    lnet.train(plan, images, steps=45, directory=folder)
    lnet.resume(folder, images, steps=75)
    run = lnet.open_run(folder)
    assert numbers(run.events()) == list(range(1, 76))
    assert sum(isinstance(each, StepsDone) for each in run.events()) > 3
    assert [each.step for each in run.events(steps=False) if isinstance(each, CheckpointWritten)][-1] == 75
    assert "75 of 75 steps" in write_report(run).read_text()


def test_a_log_of_version_0_1_says_the_same_when_it_is_thinned():
    events = read_events(Path(__file__).parent / "cluster/recorded.jsonl")
    whole, less = history_of(events), history_of(thinned(events, 8, ()))
    assert failures(less.timed) == failures(whole.timed) != []
    assert less.steps["bytes"].sum() == whole.steps["bytes"].sum()
    assert ages_by_replica(less.events) == ages_by_replica(whole.events)
    assert len(less.steps["bytes"]) < len(whole.steps["bytes"])
