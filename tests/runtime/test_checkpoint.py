import numpy as np
import pytest

from lnet.compiler.shapes import Interval, Region
from lnet.runtime.checkpoint import Checkpoint, Unreadable, read_checkpoint
from lnet.runtime.checkpoints import CheckpointFolder, setting_aside
from lnet.runtime.sharded import commit, save_shard


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
    return CheckpointFolder(tmp_path / "checkpoints", keep=2)


def test_the_newest_wins_and_old_ones_go(folder):
    for step in (5, 10, 15):
        folder.save(checkpoint(step))
    assert list(folder.files()) == [10, 15]
    assert same(folder.newest(), checkpoint(15))


def test_more_digits_than_usual_sort_as_numbers(folder):
    for step in (99_999_999, 100_000_000):
        folder.save(checkpoint(step))
    assert folder.newest().step == 100_000_000


@pytest.mark.parametrize("place", [0, 4, 200, 300, -300, -20, -1])
def test_one_wrong_byte_is_noticed(folder, place):
    folder.save(checkpoint(1))
    path = folder.save(checkpoint(2))
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)
    passed_over = []
    found = folder.newest(lambda path, why: passed_over.append(why))
    assert same(found, checkpoint(1))
    assert len(passed_over) == 1


@pytest.mark.parametrize("length", [0, 7, 100, 500])
def test_a_file_cut_short_is_passed_over(folder, length):
    folder.save(checkpoint(1))
    path = folder.save(checkpoint(2))
    path.write_bytes(path.read_bytes()[:length])
    assert same(folder.newest(), checkpoint(1))
    with pytest.raises(Unreadable):
        read_checkpoint(path, 2)


def test_what_a_killed_process_left_is_neither_read_nor_kept(folder):
    folder.save(checkpoint(1))
    half = folder.path / "step-00000002.safetensors.writing"
    half.write_bytes(b"half")
    assert folder.newest().step == 1
    folder.clean()
    assert not half.exists()


def test_a_full_disk_leaves_the_others_alone(folder, monkeypatch):
    folder.save(checkpoint(1))

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lnet.runtime.checkpoints.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        folder.save(checkpoint(2))
    assert [path.name for path in folder.path.iterdir()] == ["step-00000001.safetensors"]


def test_old_ones_go_only_after_the_new_one_is_there(folder):
    for step in (1, 2):
        folder.save(checkpoint(step))
    seen = []
    folder.save(checkpoint(3), renamed=lambda: seen.extend(folder.files()))
    assert seen == [1, 2, 3]


def test_an_empty_folder_has_none(folder):
    assert folder.newest() is None


# --- which one a run goes on from ---------------------------------------------------------------------------------


def sharded(folder, id, step, shards=2):
    """A checkpoint of a cluster: each shard has some columns of one parameter."""
    digests = [
        save_shard(
            folder.path,
            id,
            shard,
            {"V.weight": Region(Interval(0, 2), Interval(shard, shard + 1))},
            {"V.weight": np.full((2, 1, 3), 10 * step + shard, np.float32)},
            {"0.count": np.int32(step)},
        )
        for shard in range(shards)
    ]
    return commit(folder.path, id, step, {"digests": digests, "torn": 0, "manifest": {}}, keep=9)


@pytest.fixture
def shards(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints", keep=9, shapes={"V.weight": (2, 2, 3)})


def spoil(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40
    path.write_bytes(data)


DAMAGES = {
    "a wrong byte in a shard": lambda folder: spoil(sorted(folder.iterdir())[-1]),
    "a missing shard": lambda folder: sorted(folder.iterdir())[-1].unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "half a manifest": lambda folder: (folder / "manifest.json").write_text('{"format": "2", "dig'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_of_a_cluster_is_passed_over(shards, damage):
    before = sharded(shards, 1, 10)
    newest = sharded(shards, 2, 20)
    DAMAGES[damage](newest)
    reasons = []
    assert shards.newest_path(lambda path, why: reasons.append((path, why))) == before
    assert [path for path, _ in reasons] == [newest]
    assert shards.newest().params["V.weight"][0, :, 0].tolist() == [100, 101]


def test_the_newest_path_is_that_of_the_newest(shards):
    sharded(shards, 1, 10)
    later = shards.save(Checkpoint(15, {"V.weight": np.zeros((2, 2, 3), np.float32)}, {}))
    assert shards.newest_path() == later
    spoil(later)
    assert shards.newest_path().name == "step-00000010-1.shards"


def test_a_damaged_one_is_set_aside_and_makes_way_for_the_next(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=1)
    folder.save(checkpoint(1))
    (tmp_path / "first").write_bytes(folder.newest_path().read_bytes())
    spoil(folder.save(checkpoint(9)))
    (folder.path / "step-00000001.safetensors").write_bytes((tmp_path / "first").read_bytes())
    said = []
    assert folder.newest(setting_aside(said.append)).step == 1
    assert said == [
        "passed over the damaged checkpoint 'step-00000009.safetensors', which is now "
        "'step-00000009.safetensors.damaged': the checksum of 'update/0.count' does not match"
    ]
    folder.save(checkpoint(2))
    assert list(folder.files()) == [2]


def test_one_that_makes_way_while_it_is_read_is_not_damaged(folder):
    """Another process trains, and keeps one checkpoint: what was the newest a moment ago is gone."""
    folder.save(checkpoint(1))
    reasons, read = [], folder.read

    def slowly(path):
        if path.name == "step-00000001.safetensors":
            folder.save(checkpoint(2))
            path.unlink()
        return read(path)

    found = folder._newest(slowly, lambda path, why: reasons.append(why))
    assert (found.step, reasons) == (2, [])
