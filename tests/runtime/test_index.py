"""Indexes of many images: what they say is what opening finds, they are noticed to be old, and nothing half written counts."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image
from small_run import furnish, plan_of

import lnet
from lnet import LnetError
from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.runtime.data import Kept, open_frames, order
from lnet.runtime.data.dataset import requested
from lnet.runtime.data.indexes import Indexing, find_index, make_index
from lnet.runtime.data.order import COMPUTED, STORED, image_at
from lnet.runtime.training.progress import Silent

PLAIN = Frames("pics", Size(4, 4), normalize="none", labels="folder")
MANY = 5


@pytest.fixture(autouse=True)
def many(monkeypatch):
    monkeypatch.setattr(order, "MANY", MANY)


def png(grey):
    file = io.BytesIO()
    Image.fromarray(np.full((6, 5), grey, np.uint8)).save(file, "PNG")
    return file.getvalue()


NAMES = ["b/1.png", "a/3.png", "a/2.png", "c/naïve.png", "b/.hidden.png", "a/note.txt", "b/10.png", "c/9.png"]


def furnished(base):
    """Eight files, six of them images, as a folder, as archives, and as archives beside one another."""
    files = {name: png(20 * number) for number, name in enumerate(NAMES)}
    for name, data in files.items():
        (base / "pics" / name).parent.mkdir(parents=True, exist_ok=True)
        (base / "pics" / name).write_bytes(data)
    (base / "two").mkdir()
    for path, some in (("pics.tar", NAMES), ("two/0.tar", NAMES[:4]), ("two/1.tar", NAMES[4:])):
        with tarfile.open(base / path, "w") as archive:
            for name in some:
                archive.add(base / "pics" / name, name)
    with zipfile.ZipFile(base / "pics.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return base


PLACES = ["pics", "pics.tar", "pics.zip", "two/*.tar", "pics/*/*.png", "*cs*"]


def request(base, path="pics", **settings):
    return requested(replace(PLAIN, path=path, **settings), 1, base)


def indexed(base, path="pics", **settings):
    wanted = request(base, path, **settings)
    return make_index(wanted, wanted.beside)


def found_index(base, path="pics"):
    wanted = request(base, path)
    return find_index(wanted, wanted.beside)


def opened(base, path="pics", **how):
    return open_frames(replace(PLAIN, path=path), 1, base, 3, **how)


@pytest.mark.parametrize("path", PLACES)
def test_an_index_says_what_opening_finds(tmp_path, path):
    there = opened(furnished(tmp_path), path)
    assert there.catalog.index is None
    index = indexed(tmp_path, path)
    found = opened(tmp_path, path)
    assert found.catalog.index.path == index.path
    assert list(found.names) == list(there.names)
    assert (found.classes, found.order) == (there.classes, COMPUTED)
    assert list(found.inventory) == list(there.inventory)
    assert (found.inventory.digest, found.inventory.times) == (there.inventory.digest, there.inventory.times)
    assert str(found.contents) == str(there.contents)
    np.testing.assert_array_equal(found.labels, there.labels)
    for first in range(0, 30, 10):
        mine, other = found.batch(first, 10), there.batch(first, 10)
        np.testing.assert_array_equal(mine.images, other.images)
        np.testing.assert_array_equal(mine.labels, other.labels)
        assert (mine.names, mine.sum) == (other.names, other.sum)


def test_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("lnet.runtime.data.indexes.BLOCK", 4)
    there = opened(furnished(tmp_path), "*cs*")
    names = list(there.names)
    indexed(tmp_path, "*cs*")
    found = opened(tmp_path, "*cs*").names
    assert list(found) == [found[place] for place in range(len(found))] == names
    assert found[2:5] == names[2:5]
    assert (found[-1], len(names) > 12) == (names[-1], True)


def test_names_that_are_excluded_and_files_that_are_none(tmp_path):
    furnished(tmp_path)
    (tmp_path / "bad.txt").write_text("a/2.png\nnobody.png\n")
    frames = replace(PLAIN, exclude="bad.txt")
    there = open_frames(frames, 1, tmp_path, 0)
    indexed(tmp_path, exclude="bad.txt")
    found = open_frames(frames, 1, tmp_path, 0)
    assert found.catalog.index is not None
    assert list(found.names) == list(there.names)
    assert (found.unmatched, str(found.contents)) == (there.unmatched, str(there.contents))
    assert opened(tmp_path).catalog.index is None, "another question"


# --- old indexes ---------------------------------------------------------------------------------------------------------


def touched(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def added(base):
    (base / "pics" / "a" / "4.png").write_bytes(png(7))


def rewritten(base):
    """In its folder nothing seems to change."""
    (base / "pics" / "a" / "3.png").write_bytes(png(7) + b"longer")


def another_archive(base):
    (base / "two" / "2.tar").write_bytes((base / "two" / "0.tar").read_bytes())


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("pics", added),
        ("pics", rewritten),
        ("pics/*/*.png", added),
        ("pics.tar", lambda base: touched(base / "pics.tar")),
        ("pics.zip", lambda base: (base / "pics.zip").write_bytes((base / "pics.zip").read_bytes() + b"\0")),
        ("two/*.tar", another_archive),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_index_of_files_that_have_changed_is_not_used(tmp_path, path, change):
    indexed(furnished(tmp_path), path)
    assert found_index(tmp_path, path) is not None
    change(tmp_path)
    assert found_index(tmp_path, path) is None


def test_other_files_beside_archives_change_nothing(tmp_path):
    index = indexed(furnished(tmp_path), "two/*.tar")
    (tmp_path / "two" / "notes.txt").write_text("nothing")
    assert found_index(tmp_path, "two/*.tar").path == index.path


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_file_that_is_not_whole_is_no_index(tmp_path, keep):
    index = indexed(furnished(tmp_path))
    index.path.write_bytes(index.path.read_bytes()[:keep])
    assert found_index(tmp_path) is None


def test_an_image_of_another_size_than_in_the_index_is_refused(tmp_path):
    indexed(furnished(tmp_path))
    dataset = opened(tmp_path)
    rewritten(tmp_path)
    with pytest.raises(LnetError, match=r"E748: the image 'a/3.png' in '.*' has \d+ bytes, and had \d+"):
        dataset.batch(0, 6)


def test_an_archive_that_is_replaced_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("lnet.runtime.data.reads.OPEN", 1)
    indexed(furnished(tmp_path), "two/*.tar")
    dataset = opened(tmp_path, "two/*.tar", cache_bytes=0)
    dataset.at(range(6))
    touched(tmp_path / "two" / "0.tar")
    with pytest.raises(LnetError, match=r"E703: '.*0.tar' cannot be read"):
        dataset.at(range(6))


def test_a_stale_handle_is_opened_again_three_times(tmp_path, monkeypatch):
    indexed(furnished(tmp_path), "pics.tar")
    dataset = opened(tmp_path, "pics.tar", cache_bytes=0)
    pread, left = os.pread, []

    def stale(*how):
        if left:
            raise left.pop()
        return pread(*how)

    monkeypatch.setattr(os, "pread", stale)
    left[:] = [OSError(116, "Stale file handle")] * 3
    assert dataset.at([0]).names == ("a/2.png",)
    left[:] = [OSError(116, "Stale file handle")] * 4
    with pytest.raises(LnetError, match=r"E703: '.*' cannot be read"):
        dataset.at([0])


# --- made once, by several processes, and after one was killed -------------------------------------------------------------

MAKE = """
import sys
from pathlib import Path
from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.runtime.data import indexes
from lnet.runtime.data.dataset import requested

slow, write = sys.argv[1] == "slow", indexes.Writer.add

def add(writer, *block):
    write(writer, *block)
    if slow:
        print("begun", flush=True)
        sys.stdin.read()

indexes.Writer.add = add
wanted = requested(Frames("pics", Size(4, 4)), 1, Path.cwd())
print(indexes.make_index(wanted, wanted.beside).path.name)
"""


def making(base, how="quick"):
    command = [sys.executable, "-c", MAKE, how]
    return subprocess.Popen(command, cwd=base, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_of_several_processes_one_makes_it_and_one_that_is_killed_leaves_nothing(tmp_path):
    furnished(tmp_path)
    before = set(os.listdir(tmp_path))
    first = making(tmp_path, "slow")
    assert first.stdout.readline() == "begun\n"
    others = [making(tmp_path) for _ in range(3)]
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".index")]
    first.send_signal(signal.SIGKILL)
    names = {other.communicate()[0].strip() for other in others}
    first.communicate()
    assert len(names) == 1
    assert set(os.listdir(tmp_path)) - before == names


# --- orders --------------------------------------------------------------------------------------------------------------


def permuted(count, number=0, seed=1, which=COMPUTED):
    return [image_at(which, seed, number, position, count) for position in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 1009])
def test_a_computed_order_has_each_image_once(count):
    assert sorted(permuted(count)) == list(range(count))


def test_computed_orders_differ_by_pass_and_by_seed_and_from_the_stored_one():
    ways = [permuted(100), permuted(100, number=1), permuted(100, seed=2), permuted(100, which=STORED)]
    assert len({tuple(way) for way in ways}) == 4
    assert ways[0] == permuted(100)


def test_computed_orders_are_as_random_as_drawn_ones():
    """Chi-square of where images stand and of what follows what, over 400 passes of 20 images: 19 * 19 degrees of freedom."""
    count, passes = 20, 400
    stand, follow = np.zeros((count, count)), np.zeros((count, count))
    for number in range(passes):
        way = permuted(count, number)
        np.add.at(stand, (way, range(count)), 1)
        np.add.at(follow, (way[:-1], way[1:]), 1)
    expected = passes / count
    places = ((stand - expected) ** 2 / expected).sum()
    pairs = follow[~np.eye(count, dtype=bool)]
    expected = passes * (count - 1) / len(pairs)
    for found, freedom in ((places, 361), (((pairs - expected) ** 2 / expected).sum(), 361)):
        assert abs(found - freedom) < 5 * np.sqrt(2 * freedom)


def test_a_small_data_set_is_shuffled_as_it_ever_was(tmp_path, monkeypatch):
    monkeypatch.setattr(order, "MANY", 100_000)
    furnished(tmp_path)
    dataset = opened(tmp_path)
    philox = np.random.Philox(key=np.array([3, 0], np.uint64), counter=np.array([0, 0, 0, 1], np.uint64))
    drawn = np.random.Generator(philox).permutation(6)
    assert dataset.order == STORED
    assert dataset.batch(0, 6).names == tuple(dataset.names[place] for place in drawn)
    indexed(tmp_path)
    assert opened(tmp_path).batch(0, 6).names == dataset.batch(0, 6).names


# --- runs ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return furnish(tmp_path)


class Stop(Silent):
    def stepped(self, step, objectives, images_per_second):
        if step == 6:
            os.kill(os.getpid(), signal.SIGINT)


def data_of(directory):
    return json.loads((directory / "run.json").read_text())["data"]


def assert_same(first, second):
    for name, value in first.checkpoint().params.items():
        np.testing.assert_array_equal(value, second.checkpoint().params[name])


def test_a_run_keeps_an_index_of_many_images_and_goes_on_with_it(folder):
    there = lnet.train(plan_of(folder), directory="a")
    data = data_of(folder / "a")
    assert (data["order"], data["digest"]) == (COMPUTED, there.images().inventory.digest)
    assert (folder / "a" / data["index"]).exists()
    assert not (folder / "a" / "inventory.gz").exists()
    assert sorted(os.listdir(folder)) == ["a", "images", "small.lnet"]
    with pytest.raises(lnet.Interrupted):
        lnet.train(plan_of(folder), directory="b", reporter=Stop())
    assert_same(there, lnet.resume("b"))


def test_the_numbers_do_not_depend_on_the_index(folder, monkeypatch):
    there = lnet.train(plan_of(folder), directory="a")
    wanted = requested(Frames("images", Size(10, 10)), 1, folder)
    beside = make_index(wanted, wanted.beside).path
    assert_same(there, lnet.train(plan_of(folder), directory="b"))
    assert data_of(folder / "b")["index"] == str(beside)
    beside.unlink()
    monkeypatch.setattr("lnet.runtime.training.beginning.Indexing", lambda own, stem: Indexing(own))
    assert_same(there, lnet.train(plan_of(folder), directory="c"))
    assert data_of(folder / "c")["index"] is None


def test_a_run_whose_index_is_gone_or_old_makes_another(folder):
    lnet.train(plan_of(folder, steps=10), directory="a")
    was = data_of(folder / "a")
    os.utime(folder / "images", ns=(0, 7))
    lnet.resume("a", steps=12)
    now = data_of(folder / "a")
    assert (now["index"] != was["index"], now["digest"]) == (True, was["digest"])
    assert [path.name for path in (folder / "a").glob("*.index")] == [now["index"]]
    (folder / "a" / now["index"]).unlink()
    lnet.resume("a", steps=14)
    assert data_of(folder / "a")["index"] == now["index"]


def test_a_run_on_many_images_names_the_first_that_differs(folder):
    lnet.train(plan_of(folder, steps=10), directory="a")
    path = folder / "images" / "3.png"
    path.rename(folder / "images" / "9.png")
    with pytest.raises(
        LnetError, match=r"E748: .*\n.*the first that differs: '3.png', image 4 of the run, is missing"
    ):
        lnet.resume("a", steps=12)
    lnet.resume("a", steps=12, other_images=True)
    assert data_of(folder / "a")["changes"][0]["images"] == 6
    assert lnet.resume("a", steps=14).images().names[3:] == ["4.png", "5.png", "9.png"]


def test_a_run_that_does_not_begin_leaves_no_index(folder):
    for path in (folder / "images").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(LnetError, match="E706: none of the 6 images"):
        lnet.train(plan_of(folder), directory="a")
    assert sorted(os.listdir(folder)) == ["images", "small.lnet"]


def test_a_checkpoint_of_another_order_is_refused(folder):
    lnet.train(plan_of(folder, steps=10), directory="a")
    text = (folder / "a" / "run.json").read_text()
    (folder / "a" / "run.json").write_text(text.replace('"order": 2', '"order": 1'))
    with pytest.raises(
        LnetError, match=r"E742: .* was trained on images in order 2, and its run says order 1"
    ):
        lnet.resume("a", steps=12)


def test_a_run_keeps_its_order_when_it_has_become_another_number_of_images(folder, monkeypatch):
    monkeypatch.setattr(order, "MANY", 7)
    lnet.train(plan_of(folder, steps=10), directory="a")
    (folder / "images" / "6.png").write_bytes((folder / "images" / "5.png").read_bytes())
    lnet.resume("a", steps=12, other_images=True)
    data = data_of(folder / "a")
    assert (data["images"], data["order"], data["index"] is None) == (7, STORED, False)


# --- workers ---------------------------------------------------------------------------------------------------------------


def test_a_worker_makes_no_index_E718(tmp_path):
    furnished(tmp_path)
    with pytest.raises(LnetError) as caught:
        opened(tmp_path, indexing=partial(Indexing, worker=True))
    assert f"E718: there are {MANY} images or more in 'pics'" in str(caught.value)
    assert f"lnetc index '{tmp_path / 'pics'}' --labels folder" in str(caught.value)
    indexed(tmp_path)
    assert opened(tmp_path, indexing=partial(Indexing, worker=True)).count == 6


def test_a_worker_with_a_copy_of_the_images_takes_the_runs_index(tmp_path):
    index = indexed(furnished(tmp_path))
    touched(tmp_path / "pics" / "a" / "2.png")
    added(tmp_path)
    (tmp_path / "pics" / "a" / "4.png").unlink()
    how = {"kept": Kept(index=str(index.path)), "indexing": partial(Indexing, worker=True)}
    assert opened(tmp_path, **how).catalog.index.path == index.path
    added(tmp_path)
    with pytest.raises(LnetError, match=r"E748: .*\n.*the first that differs: 'a/4.png' was not among them"):
        opened(tmp_path, **how)
    index.path.unlink()
    with pytest.raises(LnetError, match=r"E718: .*\n.*cannot be read"):
        opened(tmp_path, **how)


def test_a_worker_with_an_archive_that_is_laid_out_otherwise(tmp_path):
    index = indexed(furnished(tmp_path), "pics.tar")
    with tarfile.open(tmp_path / "pics.tar", "w") as archive:
        for name in reversed(NAMES):
            archive.add(tmp_path / "pics" / name, name)
    with pytest.raises(LnetError, match=r"the first that differs: 'a/2.png' lies elsewhere in its archive"):
        opened(
            tmp_path, "pics.tar", kept=Kept(index=str(index.path)), indexing=partial(Indexing, worker=True)
        )
