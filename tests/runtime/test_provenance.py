"""A run goes on with the images that it began with, or with others only where that is asked for."""

import json
import os
import shutil

import numpy as np
import pytest
from small_run import TEXT, furnish, plan_of

import lnet
from lnet import LnetError
from lnet.runtime.data import Dataset, checksums
from lnet.runtime.training.progress import Silent


class StopAt(Silent):
    def __init__(self, step):
        self.step, self.notes = step, []

    def stepped(self, step, objectives, images_per_second):
        if step == self.step:
            os.kill(os.getpid(), 2)

    def said(self, message):
        self.notes.append(message)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    with pytest.raises(lnet.Interrupted):
        lnet.train(plan_of(tmp_path), directory="a", reporter=StopAt(6))
    return tmp_path


def resume(**how):
    said = StopAt(-1)
    run = lnet.resume("a", reporter=said, **how)
    return run, [note for note in said.notes if not note.startswith(("the run is complete", "small.lnet: "))]


def later(path):
    """Give a file another time of change, as everything has that is written."""
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))


def replaced(images):
    path = images / "4.png"
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    later(path)


def added(images):
    shutil.copy(images / "0.png", images / "2b.png")


def added_at_the_end(images):
    shutil.copy(images / "0.png", images / "9.png")


def removed(images):
    (images / "2.png").unlink()


def renamed(images):
    (images / "2.png").rename(images / "7.png")


def exchanged(images):
    """The same names, and other sizes."""
    (images / "2.png").rename(images / "spare")
    (images / "3.png").rename(images / "2.png")
    (images / "spare").rename(images / "3.png")


@pytest.mark.parametrize(
    ("change", "message", "first"),
    [
        (added, "the run was started on 6 images, and now there are 7", "'2b.png' was not among them"),
        (added_at_the_end, "and now there are 7", "'9.png' was not among them"),
        (removed, "and now there are 5", "'2.png', image 3 of the run, is missing"),
        (
            renamed,
            "the run was started on 6 images, and now there are others",
            "'2.png', image 3 of the run, is missing",
        ),
        (exchanged, "and now there are others", "'2.png' has "),
        (replaced, "the image '4.png' in 'images' has changed since it was first read", ""),
    ],
)
def test_images_that_changed_end_a_resume_that_names_the_first(folder, change, message, first):
    change(folder / "images")
    before = sorted(path.name for path in (folder / "a" / "checkpoints").iterdir())
    with pytest.raises(LnetError) as caught:
        lnet.resume("a")
    text = str(caught.value)
    assert "error E748: " in text
    assert message in text
    assert first in text
    assert "--data PATH" in text
    assert "--other-images" in text
    assert sorted(path.name for path in (folder / "a" / "checkpoints").iterdir()) == before


def test_an_image_that_is_replaced_at_the_same_time_of_its_file_is_found_when_it_is_read(folder):
    path = folder / "images" / "4.png"
    time = path.stat().st_mtime_ns
    replaced(folder / "images")
    os.utime(path, ns=(time, time))
    with pytest.raises(LnetError, match=r"E748: the image '4.png' in 'images' has changed since"):
        lnet.resume("a")


@pytest.mark.parametrize("number", range(6))
def test_an_image_of_an_array_that_is_another_is_found_whichever_is_read_first(folder, number):
    images = np.random.default_rng(0).integers(0, 256, (6, 10, 10, 1), dtype=np.uint8)
    with pytest.raises(lnet.Interrupted):
        lnet.train(plan_of(folder), directory="b", data=images, reporter=StopAt(6))
    before = (folder / "b" / checksums.FILE).read_bytes()
    other = images.copy()
    other[number, 3, 3] ^= 1
    with pytest.raises(LnetError, match=rf"E748: the image '\[{number}\]' in memory has changed since"):
        lnet.resume("b", data=other)
    lnet.resume("b", data=images)
    assert (folder / "b" / checksums.FILE).read_bytes() == before


def test_a_copy_elsewhere_with_other_times_is_the_same(folder):
    whole = lnet.train(plan_of(folder), directory="whole")
    shutil.copytree(folder / "images", folder / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(folder / "images")
    run, notes = resume(data=folder / "copy")
    assert notes == []
    for name, value in whole.checkpoint().params.items():
        np.testing.assert_array_equal(value, run.checkpoint().params[name])


def test_going_on_with_other_images_is_asked_for_and_kept(folder):
    added(folder / "images")
    run, notes = resume(other_images=True)
    assert notes == ["from step 6 on it trains on other images: 7, before 6"]
    data = json.loads((folder / "a" / "run.json").read_text())["data"]
    assert data["images"] == 7
    assert [(change["step"], change["images"]) for change in data["changes"]] == [(6, 6)]
    assert notes[0] in [e.text for e in run.events()]
    assert resume()[1] == []
    removed(folder / "images")
    with pytest.raises(LnetError, match="started on 7 images, and now there are 6"):
        lnet.resume("a")


def test_a_corrupt_image_that_is_mended_is_another_one(folder):
    path = folder / "images" / "3.png"
    whole = path.read_bytes()
    path.write_bytes(b"\0" * len(whole))
    with pytest.raises(lnet.Interrupted):
        lnet.train(plan_of(folder), directory="b", reporter=StopAt(6))
    path.write_bytes(whole)
    with pytest.raises(LnetError, match=r"E748: the image '3.png' in 'images' has changed since"):
        lnet.resume("b")
    run = lnet.resume("b", other_images=True)
    assert run.info["data"]["changes"][0]["step"] == 6


def test_an_image_that_is_gone_while_the_run_trains_on_it_ends_the_run(folder, monkeypatch):
    """It was read before, so it is not passed over like one that was corrupt from the beginning."""
    monkeypatch.setattr(Dataset, "_keep", lambda self, place, pixels: None)

    class Remove(StopAt):
        def stepped(self, step, objectives, images_per_second):
            (folder / "images" / "1.png").unlink(missing_ok=True)

    with pytest.raises(
        LnetError, match=r"E748: the image '1.png' in 'images' was read before, and now it cannot be"
    ):
        lnet.train(plan_of(folder, steps=200), directory="b", reporter=Remove(-1))


def test_an_image_that_was_changed_before_it_was_read_is_said(folder):
    (folder / "a" / checksums.FILE).unlink()
    replaced(folder / "images")
    _, notes = resume()
    assert notes == [
        "1 image that the run had not read yet has another time of change, '4.png': "
        "whether it was copied or replaced cannot be told"
    ]


def test_a_run_of_version_0_1_keeps_its_count_check_and_says_so(folder):
    path = folder / "a" / "run.json"
    info = json.loads(path.read_text())
    for name in ("digest", "times", "inputs", "prepared"):
        del info["data"][name]
    path.write_text(json.dumps(info))
    for name in ("inventory.gz", checksums.FILE):
        (folder / "a" / name).unlink()
    removed(folder / "images")
    with pytest.raises(LnetError, match="E748: the run was started on 6 images, and now there are 5"):
        lnet.resume("a")
    added(folder / "images")
    _, notes = resume()
    assert notes == ["the run keeps no digest of its images: nothing but their number could be compared"]
    assert resume()[1] == []
    renamed_now = folder / "images" / "4.png"
    renamed_now.rename(folder / "images" / "8.png")
    with pytest.raises(LnetError, match=r"'4\.png', image "):
        lnet.resume("a")


def test_other_labels_of_the_same_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = TEXT.replace("V2: sense(2) }", "V2: sense(2); d: dense(2); c: cross_entropy() }")
    (tmp_path / "small.lnet").write_text(text)
    images = np.random.default_rng(0).random((6, 10, 10, 1), np.float32)
    labels = np.array([0, 1, 0, 1, 0, 1])
    with pytest.raises(lnet.Interrupted):
        lnet.train(plan_of(tmp_path), images, directory="a", labels=labels, reporter=StopAt(3))
    with pytest.raises(LnetError, match=r"the first that differs: '\[2\]' has another label than it had"):
        lnet.resume("a", images, labels=np.array([0, 1, 1, 0, 0, 1]))
    lnet.resume("a", images, labels=labels)


def test_images_that_moved_are_named_with_data(folder):
    (folder / "images").rename(folder / "elsewhere")
    run = lnet.open_run("a")
    for ask in (lambda: lnet.resume("a"), lambda: run.samples(3), lambda: lnet.draw(run, ["V1.pool[0,0,0]"])):
        with pytest.raises(LnetError) as caught:
            ask()
        assert "error E701: there is no file or folder 'images'" in str(caught.value)
        assert "hint: if the images were moved, say where they are: --data PATH (in Python: data=...)" in str(
            caught.value
        )


def test_half_a_checksum_at_the_end_is_left_out(tmp_path):
    checksums.keep(tmp_path, [(0, 7), (2, 9)])
    with open(tmp_path / checksums.FILE, "ab") as file:
        file.write(b"\1\2\3")
    checksums.keep(tmp_path, [(1, 8)])
    known = checksums.Checksums(4)
    known.recall(tmp_path)
    assert [known[place] for place in range(4)] == [7, 8, 9, checksums.UNREAD]
