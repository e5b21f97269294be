"""Two owners of one run: the one before stands still wherever it may, the next one begins, and the first wakes up."""

import json
import math
import os

import numpy as np
import pytest
from small_run import furnish, plan_of

import lnet
from lnet.compiler.core.shapes import Interval, Region
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.store import owner, run, shards
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.checkpoints import CheckpointFolder
from lnet.runtime.store.owner import Owner, TakenOver, own, owner_of
from lnet.runtime.training import trainer
from lnet.runtime.training.progress import Silent

SHAPES = {"V.weight": (2, 2, 3)}
WAS, IS = "a" * 32, "b" * 32


@pytest.fixture
def folder(tmp_path):
    return furnish(tmp_path)


def values(name):
    return np.full((2, 1, 3), float(ord(name[0])), np.float32)


def save_shards(folder, by):
    """A checkpoint of step 10 with number 1, in two shards, as every owner would call it."""
    digests = [
        shards.save_shard(
            folder.path,
            by,
            1,
            shard,
            {"V.weight": Region(Interval(0, 2), Interval(shard, shard + 1))},
            {"V.weight": values(by.token)},
            {},
        )
        for shard in range(2)
    ]
    return folder.commit(by, 1, 10, {"digests": digests, "torn": 0, "manifest": {}})


def save_alone(folder, by):
    return folder.save(Checkpoint(10, {"V.weight": np.tile(values(by.token), (1, 2, 1))}, {}), by)


class Stopping:
    """Stands still before the `at`-th call that touches the disk or asks who is the owner, while `then` happens."""

    def __init__(self, monkeypatch, at, then):
        self.at, self.then, self.calls, self.away = at, then, 0, False
        for place, name in [
            (Owner, "check"),
            (os, "replace"),
            (os, "open"),
            (os, "fsync"),
            (os, "mkdir"),
            (os, "listdir"),
            (os, "unlink"),
        ]:
            monkeypatch.setattr(place, name, self.wrapped(getattr(place, name)))

    def wrapped(self, call):
        def stop(*arguments, **more):
            if not self.away:
                if self.calls == self.at:
                    self.away = True
                    self.then()
                self.calls += 1
            return call(*arguments, **more)

        return stop


@pytest.mark.parametrize("next_saves", [save_shards, save_alone])
@pytest.mark.parametrize("saves", [save_shards, save_alone])
def test_whoever_wakes_up_changes_nothing(tmp_path, saves, next_saves):
    moments = 0
    while disturbed(tmp_path / str(moments), moments, saves, next_saves):
        moments += 1
    assert moments > 5


def disturbed(directory, at, saves, next_saves):
    """Let one owner stand still at a moment of its checkpoint, and the next one begin; return whether there was one."""
    directory.mkdir()
    folder = CheckpointFolder(directory / "checkpoints", keep=3, shapes=SHAPES)
    was, found = own(directory, WAS), []

    def begin():
        now = own(directory, IS)
        folder.clean()
        found.append(folder.newest(damaged))  # what the next one goes on from
        if found == [None]:
            next_saves(folder, now)

    with pytest.MonkeyPatch.context() as patched:
        stopping = Stopping(patched, at, begin)
        try:
            saves(folder, was)
        except (TakenOver, OSError):
            assert found == [None], "what the next one goes on from is no failure"
    if stopping.away:
        assert owner_of(directory).token == IS
        by = "a" if found[0] is not None else "b"
        np.testing.assert_array_equal(folder.newest(damaged).params["V.weight"], ord(by), err_msg=str(at))
        assert len(folder.files()) == 1
        folder.clean()
        assert not [path for path in folder.path.iterdir() if ".writing" in path.name]
    return stopping.away


def damaged(passed):
    pytest.fail(str(passed))


# --- in one process ------------------------------------------------------------------------------------------------


class Meanwhile(Silent):
    """Does something once a step is done."""

    def __init__(self, at, then):
        self.at, self.then = at, then

    def stepped(self, step, objectives, images_per_second):
        if step == self.at:
            self.then()


def files(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("every", "more"), [(math.inf, 3), (0.0, 0)])
def test_a_process_that_was_taken_over_ends_E765(folder, monkeypatch, every, more):
    """Two machines train one run where a lock ends at the machine; the checkpoint after 15 steps is not written."""
    monkeypatch.setattr(trainer, "EVERY", every)
    monkeypatch.setattr(run.fcntl, "flock", lambda *arguments: None)
    taken, directory = {}, folder / "run"

    def take():
        lnet.resume(directory)
        taken.update(files(directory))

    with pytest.raises(LnetError) as caught:
        lnet.train(plan_of(folder), directory=directory, reporter=Meanwhile(12, take))
    text = str(caught.value)
    assert text.startswith(f"error E765: the run '{directory}' was taken over by process {os.getpid()} on ")
    assert "lnetc resume" in text
    after = files(directory)
    log = directory / "events.jsonl"
    late = [json.loads(line)["event"] for line in after.pop(log)[len(taken.pop(log)) :].splitlines()]
    assert set(late) <= {"step"}
    assert len(late) == more
    assert after == taken
    undisturbed = lnet.train(plan_of(folder), directory=folder / "undisturbed")
    assert_same(lnet.open_run(directory).network().params, undisturbed.network().params)


def assert_same(found, expected):
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_whether_it_is_the_owner_still_cannot_be_known(folder):
    """A file that cannot be read is no reason to end: the checkpoint is left out, and training goes on."""
    directory, hidden = folder / "run", folder / "hidden"
    file = directory / owner.FILE
    away = Meanwhile(9, lambda: file.rename(hidden))
    back = Meanwhile(12, lambda: hidden.rename(file))
    away.stepped = lambda *step: (Meanwhile.stepped(away, *step), back.stepped(*step))
    trained = lnet.train(plan_of(folder), directory=directory, reporter=away)
    warnings = [event.message for event in trained.events() if event.name == "warning"]
    assert len(warnings) == 1
    assert warnings[0].startswith("the checkpoint at step 10 could not be written: ")
    assert trained.events()[-1].name == "done"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"token": 1}', b"{"])
def test_a_file_that_is_no_owners(tmp_path, content):
    mine = own(tmp_path, WAS)
    (tmp_path / owner.FILE).write_bytes(content)
    with pytest.raises(TakenOver):
        mine.check()


def test_a_directory_that_cannot_be_owned_E744(tmp_path):
    with pytest.raises(LnetError, match="E744"):
        own(tmp_path / "none", WAS)


def test_an_owner_that_cannot_be_read_E732(tmp_path):
    (tmp_path / owner.FILE).mkdir()
    with pytest.raises(LnetError, match="E732"):
        owner_of(tmp_path)
