import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from unreadable import failures, is_a_folder

from lnet.compiler.core.shapes import Interval, Region
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.store import shards as storage
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.checkpoints import CheckpointFolder
from lnet.runtime.store.owner import own
from lnet.runtime.store.run import open_run
from lnet.runtime.store.safetensors import Damaged, open_arrays, write_arrays
from lnet.runtime.store.shards import opened, save_shard


def checkpoint(step, size=50):
    rng = np.random.default_rng(step)
    return Checkpoint(
        step, {"V.weight": rng.normal(size=(size, 3)).astype(np.float32)}, {"0.count": np.int32(step)}
    )


def same(left, right):
    return left.step == right.step and all(
        np.array_equal(getattr(left, part)[name], value)
        for part in ("params", "update")
        for name, value in getattr(right, part).items()
    )


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints", keep=2, shapes={"V.weight": (50, 3)})


def shard_of(path):
    (shard,) = path.glob("shard-0-*")
    return shard


def test_the_newest_wins_and_old_ones_go(folder):
    for step in (5, 10, 15):
        folder.save(checkpoint(step))
    assert list(folder.files()) == [10, 15]
    assert same(folder.newest(), checkpoint(15))


def test_more_digits_than_usual_sort_as_numbers(folder):
    for step in (99_999_999, 100_000_000):
        folder.save(checkpoint(step))
    assert folder.newest().step == 100_000_000


@pytest.mark.parametrize("place", [*range(0, 400, 7), -300, -20, -1])
def test_one_wrong_byte_is_noticed(folder, place):
    folder.save(checkpoint(1))
    path = folder.save(checkpoint(2))
    spoil(shard_of(path), place)
    passed_over = []
    found = folder.newest(passed_over.append)
    assert same(found, checkpoint(1))
    assert [(each.path, each.damaged) for each in passed_over] == [(path, True)]
    without = replace(folder, state=False).newest()
    assert same(without, replace(checkpoint(1), update={}))
    assert not without.update


@pytest.mark.parametrize("length", [0, 7, 100, 500])
def test_a_file_cut_short_is_passed_over(folder, length):
    folder.save(checkpoint(1))
    path = folder.save(checkpoint(2))
    os.truncate(shard_of(path), length)
    assert same(folder.newest(), checkpoint(1))
    with pytest.raises(Damaged):
        folder.read(path)


def test_what_a_killed_process_left_is_neither_read_nor_kept(folder):
    folder.save(checkpoint(1))
    half = folder.path / ".2-3f2a.writing"
    half.mkdir()
    (half / "manifest.json").write_text("half")
    of_version_0_1 = folder.path / "step-00000002.safetensors.writing"
    of_version_0_1.write_bytes(b"half")
    assert folder.newest().step == 1
    folder.clean()
    assert [path.name for path in folder.path.iterdir()] == ["step-00000001-1.shards"]


@pytest.mark.parametrize(
    "call",
    ["blocks.flush", "checkpoints.write_aside", "checkpoints.sync_folder", "checkpoints.os.replace"],
)
def test_a_full_disk_leaves_the_others_alone(folder, monkeypatch, call):
    folder.save(checkpoint(1))

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"lnet.runtime.store.{call}", full)
    with pytest.raises(OSError, match="No space"):
        folder.save(checkpoint(2))
    assert [path.name for path in folder.path.iterdir()] == ["step-00000001-1.shards"]


def test_old_ones_go_only_after_the_new_one_is_there(folder, monkeypatch):
    for step in (1, 2):
        folder.save(checkpoint(step))
    seen, drop_old = [], CheckpointFolder._drop_old

    def dropping(self, step):
        seen.extend(folder.files())
        drop_old(self, step)

    monkeypatch.setattr(CheckpointFolder, "_drop_old", dropping)
    folder.save(checkpoint(3))
    assert (seen, list(folder.files())) == ([1, 2, 3], [2, 3])


def test_an_empty_folder_has_none(folder):
    assert folder.newest() is None


# --- which one a run goes on from ---------------------------------------------------------------------------------


def sharded(folder, id, step, shards=2):
    """A checkpoint of a cluster: each shard has some columns of one parameter."""
    folder.path.parent.mkdir(exist_ok=True)
    owner = own(folder.path.parent, "token")
    digests = [
        save_shard(
            folder.path,
            owner,
            id,
            shard,
            {"V.weight": Region(Interval(0, 2), Interval(shard, shard + 1))},
            {"V.weight": np.full((2, 1, 3), 10 * step + shard, np.float32)},
            {"0.count": np.int32(step)},
        )
        for shard in range(shards)
    ]
    return folder.commit(owner, id, step, {"digests": digests, "torn": 0, "manifest": {}})


@pytest.fixture
def shards(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints", keep=9, shapes={"V.weight": (2, 2, 3)})


def spoil(path, place=-1):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


DAMAGES = {
    "a wrong byte in a shard": lambda folder: spoil(sorted(folder.iterdir())[-1]),
    "a shard cut short": lambda folder: os.truncate(sorted(folder.iterdir())[-1], 100),
    "half a manifest": lambda folder: (folder / "manifest.json").write_text('{"format": "2", "dig'),
    "a missing shard": lambda folder: sorted(folder.iterdir())[-1].unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_of_a_cluster_that_is_not_whole_is_passed_over(shards, damage):
    before = sharded(shards, 1, 10)
    newest = sharded(shards, 2, 20)
    DAMAGES[damage](newest)
    passed_over = []
    assert shards.newest_path(passed_over.append) == before
    missing = damage in ("a missing shard", "no manifest")
    assert [(each.path, each.damaged) for each in passed_over] == [(newest, not missing)]
    if missing:
        assert passed_over[0].set_aside().endswith("' is missing")
        assert newest.exists(), "what is missing may come back"
    assert shards.newest().params["V.weight"][0, :, 0].tolist() == [100, 101]


def test_the_newest_path_is_that_of_the_newest(shards):
    sharded(shards, 1, 10)
    later = shards.save(Checkpoint(15, {"V.weight": np.zeros((2, 2, 3), np.float32)}, {}))
    assert shards.newest_path() == later
    spoil(shard_of(later))
    assert shards.newest_path().name == "step-00000010-1.shards"


HOUR = 3600


def of_the_future(path):
    """Date a checkpoint as if it was written before the wall clock was set back."""
    os.utime(path, (path.stat().st_mtime + HOUR,) * 2)


def test_of_two_at_one_step_the_later_one_counts_whatever_the_clock_says(shards):
    of_the_future(sharded(shards, 1, 10))
    later = shards.save(Checkpoint(10, {"V.weight": np.zeros((2, 2, 3), np.float32)}, {}))
    of_the_future(shards.path / later)
    assert shards.newest_path() == later
    latest = sharded(shards, 11, 10)
    assert shards.newest_path() == latest
    assert shards.files() == {10: latest}
    assert shards.save(Checkpoint(10, {"V.weight": np.zeros((2, 2, 3), np.float32)}, {})).name.endswith(
        "-12.shards"
    )


def test_one_of_another_network_is_not_damaged(folder):
    path = folder.save(checkpoint(1))
    for shapes in ({}, {"V.weight": (50, 3), "V.bias": (3,)}):
        with pytest.raises(LnetError, match=f"E742: the checkpoint '{path}' is of another network"):
            replace(folder, shapes=shapes).newest()


def test_a_shard_opens_with_the_formats_own_library(folder):
    arrays = load_file(shard_of(folder.save(checkpoint(3))))
    np.testing.assert_array_equal(arrays["params/V.weight"], checkpoint(3).params["V.weight"])
    assert arrays["update/0.count"] == 3


# --- the file of version 0.1 --------------------------------------------------------------------------------------

OF_0_1 = Path(__file__).parent / "run_of_0_1"


@pytest.fixture
def old(tmp_path):
    shutil.copytree(OF_0_1, tmp_path / "run")
    return open_run(tmp_path / "run").checkpoints


def test_a_file_of_version_0_1_is_older_than_what_is_written_now_at_its_step(old):
    (file,) = old.files().values()
    assert (file.name, opened(file).files) == ("step-00000010.safetensors", (file,))
    found = old.newest()
    later = old.save(found)
    assert later.name == "step-00000010-1.shards"
    assert old.newest_path() == later
    assert same(old.newest(), found)
    assert same(found, old.newest())


@pytest.mark.parametrize("place", [*range(0, 3000, 41), -1])
def test_one_wrong_byte_in_a_file_of_version_0_1_is_noticed(old, place):
    (file,) = old.files().values()
    if place < file.stat().st_size:
        spoil(file, place)
    passed_over = []
    assert old.newest(passed_over.append) is None
    assert [(each.path, each.damaged) for each in passed_over] == [(file, True)]


def test_a_damaged_one_is_set_aside_and_makes_way_for_the_next(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=1, shapes={"V.weight": (50, 3)})
    first = folder.save(checkpoint(1))
    shutil.copytree(first, tmp_path / "first")
    spoil(shard_of(folder.save(checkpoint(9))))
    shutil.copytree(tmp_path / "first", first)
    name = shard_of(folder.files()[9]).name
    passed_over = []
    assert folder.newest(passed_over.append).step == 1
    assert [each.set_aside() for each in passed_over] == [
        "passed over the damaged checkpoint 'step-00000009-2.shards', which is now "
        f"'step-00000009-2.shards.damaged': '{name}': its digest does not match"
    ]
    folder.save(checkpoint(2))
    assert list(folder.files()) == [2]


def test_one_that_makes_way_while_it_is_read_is_not_damaged(folder):
    """Another process trains, and keeps one checkpoint: what was the newest a moment ago is gone."""
    folder.save(checkpoint(1))
    passed_over, read = [], folder.read

    def slowly(path):
        if path.name == "step-00000001-1.shards":
            folder.save(checkpoint(2))
            shutil.rmtree(path)
        return read(path)

    found = folder._newest(slowly, passed_over.append)
    assert (found.step, passed_over) == (2, [])


def test_a_later_one_that_is_incomplete_does_not_push_out_what_is_written_now(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=1, shapes={"V.weight": (50, 3)})
    (sharded(folder, 2, 20) / "manifest.json").unlink()
    for step in (11, 12):
        folder.save(checkpoint(step))
    assert list(folder.files()) == [12, 20]
    assert folder.newest().step == 12


def test_a_link_that_leads_nowhere_is_missing(folder):
    """And is passed over once: it is not one that made way for another."""
    folder.save(checkpoint(1))
    (folder.path / "step-00000002-2.shards").symlink_to("nowhere")
    passed_over = []
    assert folder.newest(passed_over.append).step == 1
    assert [each.damaged for each in passed_over] == [False]


def test_only_what_is_wrong_twice_is_damaged(folder, monkeypatch):
    """A byte that was wrong on its way from the disk costs nothing."""
    folder.save(checkpoint(1))
    path = folder.save(checkpoint(2))
    whole = shard_of(path).read_bytes()
    real, reads = storage.open_arrays, []

    @contextmanager
    def once_wrong(path):
        reads.append(path)
        if len(reads) == 1:
            spoil(path)
        try:
            with real(path) as file:
                yield file
        finally:
            path.write_bytes(whole)

    monkeypatch.setattr(storage, "open_arrays", once_wrong)
    passed_over = []
    assert folder.newest_path(passed_over.append) == path
    assert (len(reads), passed_over) == (2, [])


@failures
@pytest.mark.parametrize("part", ["manifest.json", "shard-0-*", "shard-1-*", ""])
def test_a_part_of_a_clusters_checkpoint_that_cannot_be_read(shards, fail, part):
    """Nothing is passed over for its manifest, a shard, or the folder itself, where something else is in its place."""
    sharded(shards, 1, 10)
    folder, newest = shards, sharded(shards, 2, 20)
    if part:
        (path,) = newest.glob(part)
    else:
        path = newest
        shutil.rmtree(newest)
        newest.touch()
    if part or fail is not is_a_folder:
        fail(path)
    for read in (folder.newest, folder.newest_path):
        passed_over = []
        with pytest.raises(LnetError) as caught:
            read(passed_over.append)
        assert "error E732: " in str(caught.value)
        assert str(newest) in str(caught.value)
        assert passed_over == []
    assert os.path.lexists(path)
    assert folder.read(folder.files()[10]).step == 10


# --- files ---------------------------------------------------------------------------------------------------------

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "count": np.int32(7),
    "none": np.zeros((0, 4), np.float64),
    "turned": np.arange(6, dtype=np.int64).reshape(2, 3).T,
    "flags": np.array([True, False]),
}


def test_files_are_those_of_the_formats_own_library(tmp_path):
    with open(tmp_path / "ours.safetensors", "wb") as file:
        write_arrays(file, ARRAYS, {"title": "ü"})
    theirs = load_file(tmp_path / "ours.safetensors")
    save_file(
        {name: np.ascontiguousarray(array) for name, array in ARRAYS.items()},
        tmp_path / "theirs",
        {"title": "ü"},
    )
    with open_arrays(tmp_path / "theirs") as file:
        assert file.metadata == {"title": "ü"}
        ours = dict(file.arrays())
    for name, array in ARRAYS.items():
        for found in (ours[name], theirs[name]):
            np.testing.assert_array_equal(found.reshape(np.shape(array)), array)
            assert found.dtype == array.dtype


@pytest.mark.parametrize("mask", [0o022, 0o007, 0o077])
def test_files_take_the_mode_of_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        folder = CheckpointFolder(tmp_path / "checkpoints", keep=9, shapes={"V.weight": (2, 2, 3)})
        found = [*folder.save(checkpoint(1)).iterdir(), *sharded(folder, 2, 10).iterdir()]
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in found} == {0o666 & ~mask}
