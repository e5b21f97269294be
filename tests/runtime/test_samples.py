"""Samples of one's own: a source that is entered in one place, and an object that Python is given."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_run import TEXT, furnish, plan_of

import lnet
from lnet import LnetError
from lnet.runtime.data import Corrupt
from lnet.runtime.data.sources import SOURCES, Source
from lnet.runtime.training.progress import Silent

LABELLED = TEXT.replace("V2: sense(2) }", "V2: sense(2); d: dense(3); c: cross_entropy() }")
ROWS, COLUMNS = 14, 15


def pixels(count=12, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (count, ROWS, COLUMNS, 1), dtype=np.uint8)


class Faces:
    """An array behind the protocol, and what a test gives it beside."""

    def __init__(self, images, **beside):
        self.images = images
        self.__dict__.update(beside)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


class Told(Silent):
    def __init__(self):
        self.lines = []

    def said(self, line):
        self.lines.append(line)


def assert_same(first, second):
    for name, value in first.checkpoint().params.items():
        np.testing.assert_array_equal(value, second.checkpoint().params[name])


def sentence_of(run):
    return next(event.message for event in run.events() if event.name == "data")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return furnish(tmp_path)


# --- a source ----------------------------------------------------------------------------------------------------------


def open_raw(place):
    return Faces(np.frombuffer(place.path.read_bytes(), np.uint8).reshape(-1, ROWS, COLUMNS, 1))


@pytest.fixture
def enter():
    """Enter sources in the one place for as long as a test lasts."""
    before = list(SOURCES)
    yield SOURCES.append
    SOURCES[:] = before


@pytest.fixture
def raw(folder, enter):
    enter(Source("raw", "raw file", open_raw, {".raw"}))
    (folder / "raw").mkdir()
    for number, part in enumerate(np.split(pixels(), 2)):
        (folder / "raw" / f"{number}.raw").write_bytes(part.tobytes())
    return folder


def test_a_source_that_is_entered_is_trained_on(raw):
    np.save("there.npy", pixels())
    there = lnet.train(plan_of(raw), "there.npy", directory="there")
    run = lnet.train(plan_of(raw), "raw/*.raw", directory="a")
    assert_same(there, run)
    assert "12 images in '" in sentence_of(run)
    assert "raw/*.raw' (2 raw files), 8 a step" in sentence_of(run)


def test_what_one_of_its_samples_is_called(raw, enter):
    enter(Source("raw", "raw file", open_raw, {".raw"}, sample="slice"))
    assert "12 slices in '" in sentence_of(lnet.train(plan_of(raw), "raw/*.raw", steps=1, directory="a"))
    (raw / "raw" / "2.png").write_bytes((raw / "images" / "0.png").read_bytes())
    both = lnet.train(plan_of(raw), "raw/*", steps=1, directory="b")
    assert "13 images or slices in '" in sentence_of(both)


def test_a_source_may_take_what_a_suffix_does_not_tell(folder, enter):
    """Of several sources that open a path the last one does: a folder of a kind of its own is no folder of images."""
    enter(
        Source(
            "stack", "stack", lambda place: Faces(pixels()), takes=lambda path, rules: path.suffix == ".st"
        )
    )
    (folder / "a.st").mkdir()
    run = lnet.train(plan_of(folder), "a.st", steps=1, directory="a")
    assert "12 images in '" in sentence_of(run)
    assert lnet.open_run("a").images().names[0] == "[0]"


def test_files_of_a_source_in_a_folder_are_named_with_a_pattern(raw):
    with pytest.raises(LnetError, match=r"E712: .* but files that may hold some: 2 \.raw") as caught:
        lnet.train(plan_of(raw), "raw", directory="a")
    assert "raw/*.raw'" in caught.value.diagnostics[0].hints[0]


def test_errors_list_the_sources_that_there_are(raw):
    Path("notes.txt").write_text("")
    with pytest.raises(LnetError, match=r"is neither a folder nor an image, archive, .* or raw file"):
        lnet.train(plan_of(raw), "notes.txt", directory="a")
    Path("empty").mkdir()
    with pytest.raises(LnetError, match=r"what counts as images: .* \.raw "):
        lnet.train(plan_of(raw), "empty", directory="a")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data + data, "now there are 18"),
        (lambda data: bytes(len(data)), "has changed since it was"),
    ],
)
def test_files_of_a_source_are_compared_when_a_run_goes_on(raw, change, said):
    lnet.train(plan_of(raw), "raw/*.raw", steps=5, directory="a")
    first = raw / "raw" / "0.raw"
    first.write_bytes(change(first.read_bytes()))
    with pytest.raises(LnetError, match=rf"E748: .*{said}"):
        lnet.resume("a", steps=20)


def failing(place):
    raise OSError("no such disk")


def without(name):
    """Return a class like that of faces that lacks a method."""
    kept = {key: value for key, value in vars(Faces).items() if key not in (name, "__dict__", "__weakref__")}
    return type("Faces", (), kept)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (failing, "E717: '{}' (raw file) could not be opened"),
        (lambda place: without("__len__")(pixels()), "E717: '{}' (raw file) has no length"),
        (
            lambda place: without("__getitem__")(pixels()),
            "E717: '{}' (raw file) cannot be asked for an image",
        ),
        (
            lambda place: Faces(pixels(), names=["a"] * 11),
            "E717: '{}' (raw file) has 12 images, and its names are 11",
        ),
        (
            lambda place: Faces(pixels(), names=(str(n) for n in range(12))),
            "E717: '{}' (raw file) has 12 images, and its names are generator",
        ),
        (
            lambda place: Faces(pixels(), names=["a", 1] * 6),
            "E717: the name of image 1 of '{}' (raw file) is not text",
        ),
        (
            lambda place: Faces(pixels(), names=["a\0b"] * 12),
            "E717: the name of image 0 of '{}' (raw file) is not text",
        ),
        (
            lambda place: Faces(pixels(), stats=[(0, 0)]),
            "E717: '{}' (raw file) has 12 images, and its stats are 1",
        ),
        (lambda place: Faces(pixels(), labels=[1]), "E704: '{}' has 12 images but 1 labels"),
        (
            lambda place: Faces(dict.fromkeys(range(12), pixels()[0, :, :, 0])),
            "of '{}' has the shape [14, 15]",
        ),
    ],
)
def test_a_source_that_is_entered_wrongly_is_refused_by_name(folder, enter, samples, message):
    enter(Source("raw", "raw file", samples, {".raw"}))
    (folder / "a.raw").write_bytes(b"")
    with pytest.raises(LnetError) as caught:
        lnet.train(plan_of(folder), "a.raw", directory="a")
    assert message.format(folder / "a.raw") in str(caught.value)
    assert not (folder / "a").exists()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "the source 'raw' has neither suffixes nor 'takes'"),
        ({"suffixes": ["raw"]}, "the source 'raw' has 'raw' as a suffix, which no file has"),
        ({"suffixes": [".RAW"]}, "the source 'raw' has '.RAW' as a suffix"),
        ({"suffixes": ".raw"}, "the source 'raw' has '.' as a suffix"),
    ],
)
def test_a_source_that_could_open_nothing_cannot_be_made(how, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Source("raw", "raw file", open_raw, **how)


def test_an_opener_names_sources_apart():
    """Sentences and labels go by the kind of a source."""
    assert Counter(source.kind for source in SOURCES).most_common(1)[0][1] == 1


# --- an object ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda p: p, lambda p: p / 255, lambda p: list((p / 255).astype("float32"))]
)
def test_an_object_is_the_array_of_its_images(folder, make):
    array = lnet.train(plan_of(folder), np.asarray(make(pixels())), directory="array")
    given = lnet.train(plan_of(folder), Faces(make(pixels())), directory="object")
    assert_same(array, given)
    assert "12 images in memory, 8 a step" in sentence_of(given)


def test_images_of_an_object_may_have_several_sizes_and_names(folder):
    images = [pixels(1, seed=n)[0, n:] for n in range(4)]
    names = ["ada", "bo", "cy", "di"]
    run = lnet.train(plan_of(folder), Faces(images, names=names), steps=5, directory="a")
    images[3] = np.zeros_like(images[3])
    with pytest.raises(LnetError, match="E748: the image 'di' in memory has changed since it was"):
        lnet.resume(run.directory, Faces(images, names=names), steps=20)
    with pytest.raises(LnetError, match=r"E748: (.|\n)*'cy', image 3 of the run, is missing"):
        lnet.resume(run.directory, Faces(images, names=["ada", "bo", "eve", "di"]), steps=20)


def test_labels_of_an_object_are_its_own_or_given_beside_it(folder):
    (folder / "small.lnet").write_text(LABELLED)
    labels = ["ant", "bee", "cat"] * 4
    array = lnet.train(plan_of(folder), pixels(), directory="array", labels=labels)
    own = lnet.train(plan_of(folder), Faces(pixels(), labels=labels), directory="own")
    beside = lnet.train(plan_of(folder), Faces(pixels()), directory="beside", labels=labels)
    assert array.classes == own.classes == beside.classes == ("ant", "bee", "cat")
    assert_same(array, own)
    assert_same(array, beside)


def test_a_run_on_an_object_goes_on_with_it(folder):
    (folder / "small.lnet").write_text(TEXT.replace(", schedule = cosine", ""))
    whole = lnet.train(plan_of(folder), Faces(pixels()), directory="whole")
    lnet.train(plan_of(folder), Faces(pixels()), steps=8, directory="a")
    with pytest.raises(
        LnetError, match="E747: the run 'a' was trained on an object of the class 'Faces', and"
    ):
        lnet.resume("a", steps=20)
    with pytest.raises(LnetError, match="E747: the run was trained on an object of the class 'Faces', so"):
        lnet.open_run("a").samples(1)
    assert_same(whole, lnet.resume("a", Faces(pixels()), steps=20))


def test_prepared_images_of_an_object_are_taken_as_they_are(folder):
    (folder / "small.lnet").write_text(TEXT.replace("10x10x1", "10x10x4"))
    images = np.random.default_rng(0).normal(3, 2, (12, 10, 10, 4))
    array = lnet.train(plan_of(folder), images, directory="array", prepared=True)
    assert_same(array, lnet.train(plan_of(folder), Faces(images), directory="object", prepared=True))
    with pytest.raises(
        LnetError, match=r"E704: the image '.*' of 'data' has the shape \[9, 10, 4\]"
    ) as caught:
        lnet.train(plan_of(folder), Faces(images[:, 1:]), directory="b", prepared=True)
    assert caught.value.diagnostics[0].notes == ("expected a prepared image [10, 10, 4]",)


class Damaged(Faces):
    def __getitem__(self, index):
        if index == 5:
            raise Corrupt("it was torn")
        return super().__getitem__(index)


def test_a_corrupt_image_of_an_object_is_passed_over(folder):
    told = Told()
    lnet.train(plan_of(folder), Damaged(pixels()), directory="a", reporter=told)
    assert "skipped the corrupt image '[5]': it was torn" in told.lines


def faces_of(one):
    return Faces([one] * 12)


@pytest.mark.parametrize(
    ("data", "how", "message"),
    [
        (without("__len__")(pixels()), {}, "E717: 'data' (Faces object) has no length"),
        (Faces(pixels(), names=["a"]), {}, "E717: 'data' (Faces object) has 12 images, and its names are 1"),
        (Faces([]), {}, "E702: there are no images in memory"),
        (faces_of(pixels()[0, :, :, 0]), {}, "of 'data' has the shape [14, 15]"),
        (faces_of(pixels()[0, :, :, 0]), {}, "hint: add the axis of the channel: image[..., None]"),
        (faces_of(np.zeros((1, 5, 5))), {}, "hint: put the channels last: image.transpose(1, 2, 0)"),
        (faces_of(pixels()[0].astype(int)), {}, "of 'data' holds int64"),
        (faces_of(pixels()[0].astype("f")), {}, "hint: divide it by the value that is white: image / 255"),
        (
            faces_of((pixels()[0], 3)),
            {},
            "E716: expected an image [rows, columns, channels], and nothing beside it",
        ),
        (faces_of("a.png"), {}, "E716: expected an image [rows, columns, channels]"),
        (Faces(dict.fromkeys(range(12, 24))), {}, "KeyError: "),
        (Faces(pixels(), labels=[0] * 12), {"labels": [0] * 12}, "E716: 'labels' are given twice"),
        (Faces(pixels()), {"labels": [0]}, "E704: 'data' has 12 images but 1 labels"),
        (
            Faces(pixels()),
            {"client": object()},
            "E716: the workers of a cluster cannot read the images of an object",
        ),
    ],
)
def test_an_object_without_images_is_refused_before_a_directory_is_made(folder, data, how, message):
    with pytest.raises(LnetError) as caught:
        lnet.train(plan_of(folder), data, directory="a", **how)
    assert message in str(caught.value)
    assert not (folder / "a").exists()


def test_an_object_is_refused_by_a_cluster_that_is_to_go_on_with_a_run(folder):
    lnet.train(plan_of(folder), Faces(pixels()), steps=5, directory="a")
    with pytest.raises(LnetError, match="E716: the workers of a cluster cannot read the images of an object"):
        lnet.resume("a", Faces(pixels()), steps=20, client=object())


def test_the_guide_trains_on_an_object(folder):
    text = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    (program,) = re.findall(r"```python\n((?:(?!```).)*?class .*?)```", text, re.DOTALL)
    (folder / "first.lnet").write_text(TEXT)
    for name in ("ada", "bo"):
        np.savetxt(f"{name}.csv", pixels(1)[0, :, :, 0] / 255, delimiter=",")
    exec(program, {})
    (run,) = (folder / "runs").iterdir()
    assert "2 images in memory" in sentence_of(lnet.open_run(run))
