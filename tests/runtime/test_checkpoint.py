import numpy as np
import pytest

from lnet.runtime.checkpoint import Checkpoint, Unreadable, read_checkpoint
from lnet.runtime.checkpoints import CheckpointFolder


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
