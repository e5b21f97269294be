"""Labels: which number each has, where they stand, and what is said of those that cannot be learned."""

import json
import shutil
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.data import Kept, Readout, check_labels, open_frames, order_classes
from lnet.runtime.data.arrays import label_texts
from lnet.runtime.data.labels import UNKNOWN, number_labels
from lnet.runtime.training.progress import Silent

BEGUN_BEFORE = Path(__file__).parent / "run_of_0_1"
TWELVE = """
network twelve { image: input(4x4x1); class: dense(12); learn: cross_entropy() }
train { data = frames("twelve.npz", normalize = none, flip = false); batch = 8; steps = 20; checkpoint = 10
        update = adam(rate = 0.01) }
"""


def twelve(folder, labels=None):
    """Write images of twelve classes, two of each, and a network that learns them."""
    rng = np.random.default_rng(0)
    kinds = np.arange(24) % 12
    images = np.eye(16, dtype=np.uint8)[kinds].reshape(-1, 4, 4, 1) * 200
    images += rng.integers(0, 50, images.shape, dtype=np.uint8)
    np.savez(folder / "twelve.npz", images=images, labels=kinds if labels is None else labels)
    (folder / "twelve.lnet").write_text(TWELVE)
    return folder


def opened(base, path, labels="folder", **how):
    return open_frames(Frames(path, Size(4, 4), labels=labels), 1, base, 0, **how)


def learned_by(*readouts):
    return partial(
        order_classes, readouts=[Readout(f"q{i}", units, "top") for i, units in enumerate(readouts)]
    )


def pictures(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 9, np.uint8)).save(folder / name)
    return folder


def refusal(call, *arguments, **named):
    with pytest.raises(LnetError) as caught:
        call(*arguments, **named)
    return str(caught.value)


# --- the number of a label -------------------------------------------------------------------------------


def test_an_integer_is_the_number_of_its_unit(tmp_path):
    run = lnet.train(lnet.compile(twelve(tmp_path) / "twelve.lnet"), directory=tmp_path / "run")
    assert run.classes == tuple(map(str, range(12)))
    batch = run.samples(24)
    numbers = [int(name[len("twelve.npz[") : -1]) % 12 for name in batch.names]
    np.testing.assert_array_equal(batch.labels, numbers)


def test_a_run_that_began_before_keeps_its_own_order(tmp_path, monkeypatch):
    """lnet 0.1 put integers in the order of their text, and shuffled any number of images; its losses are in its log."""
    monkeypatch.setattr("lnet.runtime.data.order.MANY", 5)
    shutil.copytree(BEGUN_BEFORE, tmp_path / "run")
    twelve(tmp_path)
    before = {e.step: e.loss for e in lnet.open_run(tmp_path / "run").events() if e.name == "step"}
    run = lnet.resume(tmp_path / "run", data=tmp_path / "twelve.npz")
    assert run.classes == ("0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9")
    assert run.info["data"]["order"] == 1
    found = {e.step: e.loss for e in run.events() if e.name == "step"}
    np.testing.assert_allclose([found[s] for s in range(1, 21)], [before[s] for s in range(1, 21)], rtol=1e-5)


def test_a_run_that_began_before_is_probed_in_its_own_order(tmp_path, monkeypatch):
    shutil.copytree(BEGUN_BEFORE, tmp_path / "run")
    twelve(tmp_path)
    run = lnet.resume(tmp_path / "run", data=tmp_path / "twelve.npz", steps=400)
    (named,) = lnet.probe(run, tmp_path / "twelve.npz", "10", baselines=False).named
    assert (named.images, named.top_1) == (24, 1.0)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "2", "0"], ("0", "1", "2", *map(str, range(3, 12)))),
        (["007", "01"], ("0", "01", *map(str, range(2, 7)), "007", *map(str, range(8, 12)))),
    ],
)
def test_absent_classes_have_their_units(labels, classes):
    assert order_classes(labels, labels, [Readout("q", 12, "top")]) == classes


def test_without_an_objective_classes_are_those_there_are_in_order():
    assert order_classes(["10", "2", "2", "-1"], [""] * 4) == ("-1", "2", "10")
    assert order_classes(["10", "2", "b"], [""] * 3) == ("10", "2", "b")


def test_integers_are_one_label_however_they_are_spelled():
    assert number_labels(["7", "007", "8", "x"], ("6", "07")).tolist() == [1, 1, UNKNOWN, UNKNOWN]
    assert number_labels(["7", "007"], ("7", "x")).tolist() == [0, UNKNOWN]


def test_integers_in_a_column_of_reals_are_numbers_of_units(tmp_path):
    """A table writes 3.0 where a column has gaps; as texts `10.0` would come before `2.0`."""
    pictures(tmp_path, [f"{number}.png" for number in range(12)])
    lines = [f"{number}.png,{float(number)}" for number in range(12)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]))
    data = opened(tmp_path, "list.csv", "file", classes=learned_by(12))
    assert data.classes == tuple(f"{number}.0" for number in range(12))
    batch = data.batch(0, 12)
    assert [f"{label}.png" for label in batch.labels] == list(batch.names)
    assert number_labels(["3", "3.0", "3.5"], data.classes).tolist() == [3, 3, UNKNOWN]
    assert order_classes(["0.5", "1.0", "10.0"], ["a", "b", "c"]) == ("0.5", "1.0", "10.0")


def test_labels_from_one_on_can_be_listed(tmp_path):
    pictures(tmp_path, ["1/a.png", "2/a.png", "3/a.png"])
    error = refusal(opened, tmp_path, ".", classes=learned_by(3))
    assert "'3/a.png' has the label 3" in error
    assert "hint: or list the labels in a file, in the order of their units" in error
    (tmp_path / "classes.txt").write_text("1\n2\n3\n")
    frames = Frames(".", Size(4, 4), labels="folder", classes="classes.txt")
    batch = open_frames(frames, 1, tmp_path, 0, classes=learned_by(3)).batch(0, 3)
    assert [f"{label + 1}/a.png" for label in batch.labels] == list(batch.names)


@pytest.mark.parametrize("labels", [np.arange(24) % 12 + 1, np.r_[np.arange(23) % 12, -1]])
def test_a_label_without_a_unit_is_refused(tmp_path, labels):
    twelve(tmp_path, labels)
    error = refusal(lnet.train, lnet.compile(tmp_path / "twelve.lnet"), directory=tmp_path / "run")
    if labels.min() < 0:
        assert "E710: 'twelve.npz[23]' has the label -1, and the 12 values" in error
        assert "hint: leave out images without a label" in error
    else:
        assert "E710: 'twelve.npz[11]' has the label 12, and the 12 values" in error
        assert "hint: 'dense(13)' has a unit for each label from 0 to 12" in error
    assert not (tmp_path / "run").exists()


def test_several_objectives_share_the_classes():
    labels = ["0", "4"]
    assert order_classes(labels, labels, [Readout("q", 5, "top"), Readout("r", 7, "top")]) == tuple("0123456")
    assert "'r' reads are for the labels 0 to 3" in refusal(
        order_classes, labels, labels, [Readout("q", 5, "top"), Readout("r", 4, "top")]
    )


def test_fewer_classes_than_units_need_names(tmp_path):
    pictures(tmp_path, ["set/a/0.png", "set/b/0.png"])
    error = refusal(opened, tmp_path, "set", classes=learned_by(5))
    assert "E710: the objective 'q0' reads 5 values, but the images have 2 classes" in error
    assert "hint: 'dense(2)' has a unit for each" in error
    assert "list all of them in a file" in error


CLASSES = (
    "network n { image: input(4x4x1); class: dense(%d); learn: cross_entropy() }"
    'train { data = frames("set", labels = folder, classes = "classes.txt"); batch = 2; steps = 2 }'
)


def test_a_list_of_classes_names_those_without_images(tmp_path):
    pictures(tmp_path, ["set/dog/0.png", "set/cat/0.png"])
    (tmp_path / "classes.txt").write_text("zebra\ndog\n\ncat\n")
    (tmp_path / "n.lnet").write_text(CLASSES % 3)
    run = lnet.train(lnet.compile(tmp_path / "n.lnet"), directory=tmp_path / "run")
    assert run.classes == ("zebra", "dog", "cat")
    batch = run.samples(2)
    assert dict(zip(batch.names, batch.labels.tolist(), strict=True)) == {"dog/0.png": 1, "cat/0.png": 2}
    (tmp_path / "classes.txt").unlink()  # the run has its own
    assert lnet.resume(tmp_path / "run", steps=3).classes == run.classes


@pytest.mark.parametrize(
    ("text", "units", "code", "message"),
    [
        ("dog\ncat\n", 3, "E710", "reads 3 values, but the images have 2 classes"),
        ("dog\nzebra\n", 2, "E710", "'cat/0.png' has the label 'cat', which is not one of the 2 classes"),
        ("dog\ncat\ndog\n", 3, "E713", "'dog' is there twice"),
        ("\n", 3, "E713", "it is empty"),
        (None, 3, "E713", "cannot be read"),
    ],
)
def test_a_list_of_classes_that_does_not_fit(tmp_path, text, units, code, message):
    pictures(tmp_path, ["set/dog/0.png", "set/cat/0.png"])
    if text is not None:
        (tmp_path / "classes.txt").write_text(text)
    (tmp_path / "n.lnet").write_text(CLASSES % units)
    error = refusal(lnet.train, lnet.compile(tmp_path / "n.lnet"), directory=tmp_path / "run")
    assert f"error {code}: " in error
    assert message in error


def test_a_run_that_begins_with_another_has_the_order_of_its_classes(tmp_path):
    pictures(tmp_path, ["all/a/0.png", "all/b/0.png", "all/c/0.png", "some/c/0.png", "some/a/0.png"])
    text = (
        "network n { image: input(4x4x1); class: dense(3); learn: cross_entropy() }"
        'train { data = frames("%s", labels = folder); batch = 2; steps = 1 }'
    )
    for name in ("all", "some"):
        (tmp_path / f"{name}.lnet").write_text(text % name)
    lnet.train(lnet.compile(tmp_path / "all.lnet"), directory=tmp_path / "first")
    assert "E710" in refusal(lnet.train, lnet.compile(tmp_path / "some.lnet"), directory=tmp_path / "alone")
    run = lnet.train(
        lnet.compile(tmp_path / "some.lnet"), directory=tmp_path / "next", start=tmp_path / "first"
    )
    assert run.classes == ("a", "b", "c")
    batch = run.samples(2)
    assert dict(zip(batch.names, batch.labels.tolist(), strict=True)) == {"a/0.png": 0, "c/0.png": 2}


def test_a_run_that_begins_with_another_of_other_classes_says_so(tmp_path):
    text = (
        "network n { image: input(4x4x1); class: dense(2); learn: cross_entropy() }"
        'train { data = frames("%s", labels = folder); batch = 2; steps = 1 }'
    )
    for name, classes in (("one", "ab"), ("other", "bc")):
        pictures(tmp_path, [f"{name}/{label}/0.png" for label in classes])
        (tmp_path / f"{name}.lnet").write_text(text % name)
    lnet.train(lnet.compile(tmp_path / "one.lnet"), directory=tmp_path / "first")
    heard = []
    reporter = Silent()
    reporter.said = heard.append
    run = lnet.train(
        lnet.compile(tmp_path / "other.lnet"),
        directory=tmp_path / "next",
        start=tmp_path / "first",
        reporter=reporter,
    )
    assert run.classes == ("b", "c")
    assert (
        f"the classes differ from those of '{tmp_path / 'first'}': its units stood for its own classes"
        in heard
    )


def test_a_run_that_began_before_misses_a_class_that_has_gone(tmp_path):
    shutil.copytree(BEGUN_BEFORE, tmp_path / "run")
    twelve(tmp_path, np.arange(24) % 11)
    error = refusal(lnet.resume, tmp_path / "run", data=tmp_path / "twelve.npz")
    assert "E748: the images have other classes than those that the run was started on" in error
    assert "its classes were ('0', '1', '10', '11', '2'" in error


def test_an_image_of_a_class_that_a_run_does_not_know(tmp_path):
    pictures(tmp_path, ["set/a/0.png", "set/b/0.png"])
    error = refusal(opened, tmp_path, "set", kept=Kept(classes=("b", "c")))
    assert "E710: 'a/0.png' has the label 'a', which is not one of the 2 classes" in error
    assert opened(tmp_path, "set", kept=Kept(classes=("b", "a"))).labels.tolist() == [1, 0]


# --- labels of arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([2, 0, 10], np.uint64), ("0", "2", "10")),
        (np.array([2.0, 0.0, 10.0]), ("0", "2", "10")),
        (np.array([[2], [0], [10]]), ("0", "2", "10")),
        (np.array([True, False, True]), ("False", "True")),
        (np.array(["2", "0", "10"]), ("0", "2", "10")),
        (np.array([b"\xe9", b"\xe8", b"cat"]), ("\\xe8", "\\xe9", "cat")),
    ],
)
def test_labels_of_every_type(tmp_path, labels, classes):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4, 1), np.uint8), labels=labels)
    for asked in ("folder", None):
        assert opened(tmp_path, "a.npz", asked).classes == classes


@pytest.mark.parametrize(
    ("labels", "message", "hint"),
    [
        (np.eye(3), "have the shape [3, 3]", "labels.argmax(1)"),
        (np.array([0.5, 1, 2]), "are float64, and not all are whole numbers", "integers"),
        (np.array([np.nan, 1, 2]), "not all are whole numbers", "integers"),
        (np.array([np.inf, 1, 2]), "not all are whole numbers", "integers"),
        (np.array([1j, 1, 2]), "are complex128", "integers"),
    ],
)
def test_labels_that_are_none(tmp_path, labels, message, hint):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4, 1), np.uint8), labels=labels)
    error = refusal(opened, tmp_path, "a.npz")
    assert "error E704" in error
    assert message in error
    assert hint in error.partition("hint: ")[2]


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["2", "0", "10"], object),
        np.array([2, "0", b"10"], object),
        np.array([2.0, np.int64(0), "10"], object),
        [2, 0, "10"],
        ("2", np.str_("0"), np.int8(10)),
    ],
)
def test_labels_held_as_objects_are_texts(labels):
    """As those of a table's column, which has no type of text."""
    assert label_texts(labels, 3, "'data'") == ["2", "0", "10"]


def test_labels_of_a_file_that_holds_objects_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4, 1), np.uint8), labels=np.array([*"abc"], object))
    assert "texts after .astype(str)" in refusal(opened, tmp_path, "a.npz")


def test_arrays_without_labels_say_how_they_are_given(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4, 1), np.uint8), y=np.arange(3))
    assert "hint: add an array 'labels': np.savez(" in refusal(opened, tmp_path, "a.npz")
    dataset = opened(tmp_path, "a.npz", None)
    assert "np.savez('images.npz', images=images, labels=labels)" in refusal(
        check_labels, dataset, [Readout("q", 3, "top")]
    )


# --- labels beside images --------------------------------------------------------------------------------


def shard(path, files):
    with tarfile.open(path, "w") as archive:
        for file in files:
            archive.add(file, file.name)


def web_dataset(folder, count=12, key="{:04}"):
    """Write images with their class beside them, as a folder and as two shards."""
    (folder / "flat").mkdir()
    files = []
    for number in range(count):
        stem = folder / "flat" / key.format(number)
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(f"{stem}.png")
        Path(f"{stem}.cls").write_text(f"{number % 11}\n")
        Path(f"{stem}.json").write_text(json.dumps({"number": number}))
        files += [Path(f"{stem}{suffix}") for suffix in (".cls", ".json", ".png")]
    shard(folder / "a-000.tar", files[: len(files) // 2])
    shard(folder / "a-001.tar", files[len(files) // 2 :])
    shutil.make_archive(str(folder / "a"), "zip", folder / "flat")
    return folder


@pytest.mark.parametrize("path", ["a-*.tar", "a.zip", "flat", "flat/*.png"])
def test_labels_beside_images_are_theirs(tmp_path, path):
    web_dataset(tmp_path)
    dataset = opened(tmp_path, path, classes=learned_by(11))
    assert dataset.classes == tuple(map(str, range(11)))
    assert dataset.labels.tolist() == [number % 11 for number in range(12)]
    assert ".cls" not in dataset.contents.ignored
    assert opened(tmp_path, path, None).classes is None


def test_a_byte_order_mark_is_no_part_of_a_label(tmp_path):
    web_dataset(tmp_path, 2)
    for file in (tmp_path / "flat").glob("*.cls"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert opened(tmp_path, "flat").classes == ("0", "1")


def test_one_label_for_several_views(tmp_path):
    web_dataset(tmp_path, 2, "s{}.left")
    (tmp_path / "flat" / "s1.left.cls").rename(tmp_path / "flat" / "s1.cls")
    pictures(tmp_path / "flat", ["s1.right.png"])
    dataset = opened(tmp_path, "flat")
    assert dict(zip(dataset.names, dataset.labels.tolist(), strict=True)) == {
        "s0.left.png": 0, "s1.left.png": 1, "s1.right.png": 1,
    }  # fmt: skip


def test_images_without_the_label_that_others_have(tmp_path):
    web_dataset(tmp_path, 3)
    (tmp_path / "flat" / "0001.cls").unlink()
    error = refusal(opened, tmp_path, "flat")
    assert "E707: other images in" in error
    assert "'0001.png' has none" in error
    assert "hint: add '0001.cls'" in error


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "empty"), (b"\xef\xbb\xbf", "empty"), (b"a\nb", "several lines"), (b"\xff", "not text")],
)
def test_files_that_hold_no_label(tmp_path, content, found):
    web_dataset(tmp_path, 2)
    (tmp_path / "flat" / "0001.cls").write_bytes(content)
    error = refusal(opened, tmp_path, "flat")
    assert "E707" in error
    assert "0001.cls" in error
    assert found in error


def test_images_without_folder_or_label(tmp_path):
    pictures(tmp_path, ["flat/0.png"])
    error = refusal(opened, tmp_path, "flat")
    assert "E707: labels are the names of folders, and '0.png' in 'flat' is in none" in error
    assert "hint: put the images of each class into a folder" in error


def test_a_pattern_names_images_with_their_folders(tmp_path):
    pictures(tmp_path, ["pics/x/cat/0.png", "pics/x/dog/0.png", "pics/y/cat/1.png"])
    for path, names in (
        ("pics/*/*/*.png", ("x/cat/0.png", "x/dog/0.png", "y/cat/1.png")),
        ("pics/*/c*", ("x/cat/0.png", "y/cat/1.png")),
        ("pics/**", ("x/cat/0.png", "x/dog/0.png", "y/cat/1.png")),
    ):
        dataset = opened(tmp_path, path)
        assert dataset.names == names
        assert [dataset.classes[label] for label in dataset.labels] == [n.split("/")[1] for n in names]


def test_folders_whose_names_are_integers(tmp_path):
    pictures(tmp_path, [f"set/{number}/0.png" for number in (0, 1, 2, 10)])
    dataset = opened(tmp_path, "set", classes=learned_by(11))
    assert dict(zip(dataset.names, dataset.labels.tolist(), strict=True)) == {
        "0/0.png": 0, "1/0.png": 1, "2/0.png": 2, "10/0.png": 10,
    }  # fmt: skip
