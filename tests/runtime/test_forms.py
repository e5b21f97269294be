"""The same images in every form that can be trained on: the same pixels, labels and order; and what is said of damaged forms."""

import csv
import io
import json
import sys
import tarfile
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from commands import lnetc
from PIL import Image

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.images import open_set
from lnet.runtime.data import Readout, open_frames, order_classes
from lnet.runtime.data.columns import open_columns
from lnet.runtime.data.dataset import requested
from lnet.runtime.data.find import spelled_out
from lnet.runtime.data.indexes import make_index

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (10, 6, 5, 3), np.uint8)
LABELS = ["ant", "ant", "ant", "ant", "bee", "bee", "bee", "cat, wild", "cat, wild", "cat, wild"]
FRAMES = Frames("", Size(4, 4), normalize="none")


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def classed():
    """Yield the files of images in a folder for each label."""
    for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        yield f"{label}/{number}.png", png(image)


def beside(suffix, content=str, folder="", some=range(10)):
    """Yield the files of images with their labels beside them."""
    for number in some:
        yield f"{folder}{number:04}.png", png(IMAGES[number])
        yield f"{folder}{number:04}{suffix}", content(LABELS[number]).encode()


def write_files(base, files):
    for name, data in files:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(data)


def write_tar(path, files, links=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.LNKTYPE, target
            archive.addfile(info)


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)


def shards(base, suffix, content=str, folder=""):
    write_tar(base / "shards" / "s-09.tar", beside(suffix, content, folder, range(4)))
    write_tar(base / "shards" / "s-10.tar", beside(suffix, content, folder, range(4, 10)))


def linked(base):
    files = [(f"all/{number}.png", png(image)) for number, image in enumerate(IMAGES)]
    links = [(f"by/{label}/{number}.png", f"all/{number}.png") for number, label in enumerate(LABELS)]
    write_tar(base / "a.tar", files, links)
    (base / "all.txt").write_text("".join(f"{name}\n" for name, _ in files))


def hdf5(base, images, labels):
    with h5py.File(base / "a.h5", "w") as file:
        file.create_dataset(images, data=IMAGES, chunks=(3, 6, 5, 3), compression="gzip")
        file.create_dataset(labels, data=LABELS)
        file.create_dataset("other/data", data=np.zeros((3, 2)))


def written_zarr(base):
    group = zarr.create_group(str(base / "a.zarr"), zarr_format=2)
    for name, data in (("images", IMAGES), ("labels", np.array(LABELS))):
        group.create_array(name, shape=data.shape, dtype=data.dtype, chunks=(3, *data.shape[1:]))[:] = data


def listed(base, labelled=True):
    """Write a list in another order, with names that must be quoted, and columns that are not read."""
    rows = [(f"{number}, a.png", label, "9") for number, label in enumerate(LABELS)]
    write_files(base / "pics", zip([row[0] for row in rows], map(png, IMAGES), strict=True))
    columns = ("path", "label", "more") if labelled else ("path",)
    (base / "lists").mkdir()
    with open(base / "lists" / "a.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([f"../pics/{name}", *rest][: len(columns)] for name, *rest in reversed(rows))
    if not labelled:
        write_files(base / "pics", ((f"{row[0][:-4]}.txt", row[1].encode()) for row in rows))


FORMS = {
    "folders": ("pics", "folder", lambda base: write_files(base / "pics", classed())),
    "folder .cls": ("pics", "file", lambda base: write_files(base / "pics", beside(".cls"))),
    "pattern .txt": ("pics/*.png", "folder", lambda base: write_files(base / "pics", beside(".txt"))),
    "folder .json": (
        "pics",
        "file",
        lambda base: write_files(
            base / "pics", beside(".json", lambda s: json.dumps({"label": s, "k": 1}), "x/")
        ),
    ),
    "tar": ("a.tar", "folder", lambda base: write_tar(base / "a.tar", classed())),
    "zip": ("a.zip", "folder", lambda base: write_zip(base / "a.zip", classed())),
    "shards .cls": ("shards/s-{09..10}.tar", "folder", partial(shards, suffix=".cls", folder="./x/")),
    "shards .json": ("shards", "folder", partial(shards, suffix=".json", content=json.dumps, folder="./")),
    "shards .txt": ("shards/*.tar", "file", partial(shards, suffix=".txt")),
    "links": ("a.tar", "folder", linked),
    "npz": (
        "a.npz",
        "file",
        lambda base: np.savez_compressed(base / "a.npz", images=IMAGES, labels=LABELS),
    ),
    "named npz": ("a.npz:x", "folder", lambda base: np.savez(base / "a.npz", x=IMAGES, y=0, labels=LABELS)),
    "hdf5": ("a.h5:train/data", "file", partial(hdf5, images="train/data", labels="train/labels")),
    "plain hdf5": ("*.h5", None, partial(hdf5, images="images", labels="labels")),
    "zarr": ("a.zarr", "folder", written_zarr),
    "list": ("lists/a.csv", "folder", listed),
    "list .txt": ("lists/*.csv", "file", partial(listed, labelled=False)),
}
STORED = [name for name in FORMS if not {"npz", "hdf5", "zarr"} & set(name.split())]


def furnished(base, form):
    path, labels, write = FORMS[form]
    write(base)
    exclude = "all.txt" if form == "links" else None
    return replace(FRAMES, path=path, labels=labels, exclude=exclude)


def refusal(frames, base, **how):
    with pytest.raises(LnetError) as caught:
        open_frames(frames, 3, base, 0, **how)
    return str(caught.value)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    base = tmp_path_factory.mktemp("reference")
    return open_frames(furnished(base, "folders"), 3, base, 7)


def check(dataset, reference):
    assert dataset.count == 10
    for place in range(10):
        np.testing.assert_array_equal(dataset.original(place), IMAGES[place])
    assert [dataset.classes[number] for number in dataset.labels] == LABELS
    found, expected = dataset.batch(0, 25), reference.batch(0, 25)
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.places, expected.places)
    assert {".cls", ".json", ".txt"}.isdisjoint(dataset.contents.ignored)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_images(tmp_path, form, reference):
    frames = furnished(tmp_path, form)
    check(open_frames(frames, 3, tmp_path, 7), reference)


@pytest.mark.parametrize("form", STORED)
def test_every_form_that_is_indexed_is_the_same_images(tmp_path, form, reference):
    frames = furnished(tmp_path, form)
    there = open_frames(frames, 3, tmp_path, 7)
    wanted = requested(frames, 3, tmp_path)
    index = make_index(wanted, wanted.beside)
    found = open_frames(frames, 3, tmp_path, 7)
    assert found.catalog.index.path == index.path
    check(found, reference)
    assert found.inventory.digest == there.inventory.digest
    assert str(found.contents) == str(there.contents)
    assert [found.catalog.shown(n) for n in range(10)] == [there.catalog.shown(n) for n in range(10)]
    assert found.catalog.labels == there.catalog.labels


@pytest.mark.parametrize("form", ["folder .cls", "shards .json", "list", "npz", "hdf5"])
def test_labels_that_are_integers_are_numbers_of_units(tmp_path, form, monkeypatch):
    labels = ["10", "2", "2", "0", "10", "0", "2", "2", "2", "2"]
    monkeypatch.setattr(sys.modules[__name__], "LABELS", labels)
    learned = partial(order_classes, readouts=[Readout("q", 11, "top")])
    frames = furnished(tmp_path, form)
    dataset = open_frames(frames, 3, tmp_path, 7, classes=learned)
    assert dataset.labels.tolist() == [int(label) for label in labels]
    assert dataset.classes == tuple(map(str, range(11)))
    fewer = partial(order_classes, readouts=[Readout("q", 10, "top")])
    assert "has the label 10, and the 10 values" in refusal(frames, tmp_path, classes=fewer)


TEXT = """
network small { image: input(4x4x3); edges: local(2, 4); kind: dense(3); learn: cross_entropy() }
train { data = frames("lists/a.csv", labels = file); batch = 5; steps = 2 }
"""


def test_commands_take_every_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed(tmp_path)
    hdf5(tmp_path, "train/data", "train/labels")
    shards(tmp_path, ".json", json.dumps, "x/")
    Path("small.lnet").write_text(TEXT)
    assert "indexed: 10 images in 'lists/a.csv'" in lnetc("index", "small.lnet").output
    assert "indexed already" in lnetc("index", "lists/a.csv", "--labels", "file").output
    assert "10 images in 'lists/a.csv'" in lnetc("run", "small.lnet", "-d", "run").output
    run = lnet.open_run("run")
    assert run.classes == ("ant", "bee", "cat, wild")
    assert Path(run.info["data"]["index"]).parent == tmp_path / "lists"
    for path in ("lists/a.csv", "a.h5:train/data", "shards", "shards/s-{09..10}.tar"):
        images = open_set(run, path, labelled=True).dataset
        assert [images.classes[number] for number in images.labels] == LABELS
    probe = lnet.probe(run, "shards", "ant", baselines=False)
    assert (probe.positives, probe.negatives, probe.named[0].images) == (4, 6, 10)
    (event,) = [event for event in run.events() if event.name == "data"]
    assert event.message == "small.lnet: 10 images in 'lists/a.csv', 5 a step, 1 pass"


# --- labels beside images --------------------------------------------------------------------------------


def test_captions_beside_images_in_folders_are_no_classes(tmp_path):
    write_files(tmp_path / "pics", classed())
    write_files(tmp_path / "pics", ((f"{name[:-4]}.txt", b"a caption") for name, _ in classed()))
    frames = replace(FRAMES, path="pics", labels="folder")
    dataset = open_frames(frames, 3, tmp_path, 0)
    assert dataset.classes == ("ant", "bee", "cat, wild")
    assert dataset.contents.ignored == {".txt": 10}
    assert open_frames(replace(frames, labels="file"), 3, tmp_path, 0).classes == ("a caption",)
    assert open_frames(replace(frames, labels=None), 3, tmp_path, 0).classes is None


def test_a_folder_that_is_only_called_dot_is_none(tmp_path):
    write_tar(tmp_path / "a.tar", [("./0.png", png(IMAGES[0]))])
    error = refusal(replace(FRAMES, path="a.tar", labels="folder"), tmp_path)
    assert "E707: labels are the names of folders, and './0.png' in 'a.tar' is in none" in error


def test_images_without_labels_beside_them(tmp_path):
    write_files(tmp_path / "pics", classed())
    error = refusal(replace(FRAMES, path="pics", labels="file"), tmp_path)
    assert "E707: there is no label beside 'ant/0.png' in 'pics'" in error
    assert "hint: 'labels = folder' takes the names of folders" in error


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"{}", "it has no key 'label'; its keys are none"),
        (b'{"id": 1, "caption": 2}', "it has no key 'label'; its keys are 'id', 'caption'"),
        (b"{", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"9" * 5000, "it is not JSON"),
        (b'{"label": [1, 2]}', "its label is [1, 2], neither an integer nor a text"),
        (b"true", "its label is true, neither"),
        (b"0.5", "its label is 0.5, neither"),
        (b'"a\\nb"', "it has several lines"),
        (b'"a\\u0000b"', "it has zero bytes"),
        (b'" "', "it is empty"),
        (b'"' + b"a" * 2**20 + b'"', "it has 1,048,578 characters"),
        (b"\xff", "is not text"),
    ],
)
def test_json_that_holds_no_label(tmp_path, content, found):
    write_tar(tmp_path / "a.tar", [("0.png", png(IMAGES[0])), ("0.json", content)])
    error = refusal(replace(FRAMES, path="a.tar", labels="file"), tmp_path)
    assert "E707" in error
    assert f"'0.json' in '{tmp_path / 'a.tar'}'" in error
    assert found in error


def test_json_holds_a_label_by_itself_or_under_its_key(tmp_path):
    contents = ("3", "3.0", '"3"', '{"label": 3}', '{"label": "3"}')
    files = [(f"{n}.png", png(IMAGES[n])) for n in range(5)]
    write_tar(tmp_path / "a.tar", files + [(f"{n}.json", text.encode()) for n, text in enumerate(contents)])
    assert open_frames(replace(FRAMES, path="a.tar", labels="file"), 3, tmp_path, 0).classes == ("3",)


# --- paths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        ("{0..10}", list(map(str, range(11)))),
        ("{2..0}/{00..1}", ["0/00", "0/01", "1/00", "1/01", "2/00", "2/01"]),
        ("{a..c}{1..}{3}", ["{a..c}{1..}{3}"]),
    ],
)
def test_ranges_are_those_of_shells(pattern, paths):
    assert list(spelled_out(pattern)) == paths


def test_paths_of_a_range_that_are_missing(tmp_path):
    shards(tmp_path, ".cls")
    error = refusal(replace(FRAMES, path="shards/s-{08..11}.tar"), tmp_path)
    assert "E701: of the 4 paths of 'shards/s-{08..11}.tar' 2 lead nowhere, the first is 's-08.tar'" in error
    (tmp_path / "shards" / "s-{1..2}.tar").mkdir()
    assert "there are no images in 'shards/s-{1..2}.tar'" in refusal(
        replace(FRAMES, path="shards/s-{1..2}.tar"), tmp_path
    )


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("b.h5", "E704: 'PLACE/b.h5' needs one array, or one named 'images'; found 'deep/a', 'deep/b', 'deep/c', 'o'",
         "name one: 'b.h5:deep/a'"),
        ("b.h5:deep/e", "E704: there is no array 'deep/e' in 'PLACE/b.h5'", "did you mean 'deep/"),
        ("b.h5:deep/a", "E704: the array in 'PLACE/b.h5' has the shape [3, 2]", "arrays(...)"),
        ("b.h5:deep/b", "holds int16", "divide by the value that is white"),
        ("b.h5:deep/c", "has values from 0 to 255", "images / 255"),
        ("b.h5:o", "E704: the array in 'PLACE/b.h5' holds object", ""),
        ("none.h5:x", "E701: there is no file or folder 'none.h5'", ""),
        ("c.h5", "E703: 'PLACE/c.h5' cannot be read as arrays", ""),
    ],
)  # fmt: skip
def test_arrays_of_a_file_that_are_no_images(tmp_path, path, message, hint):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["deep/a"] = np.zeros((3, 2))
        file["deep/b"] = np.zeros((3, 4, 4, 1), np.int16)
        file["deep/c"] = np.linspace(0, 255, 48, dtype=np.float32).reshape(3, 4, 4, 1)
        file.create_dataset("o", (3, 4, 4, 1), h5py.vlen_dtype(np.uint8))
    (tmp_path / "c.h5").write_bytes(b"nothing")
    error = refusal(replace(FRAMES, path=path), tmp_path)
    assert message.replace("PLACE", str(tmp_path)) in error
    assert hint in error.partition("hint: ")[2]


# --- lists -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "found"),
    [
        ("", "E714", "it has no column 'path'; its columns are none"),
        ("file,label\na.png,1\n", "E714", "it has no column 'path'; its columns are 'file', 'label'"),
        ("path,label\na.png\n", "E714", "line 2 does not have 2 columns, with a path in 'path'"),
        ("path,label\n\na.png,1\n,2\n", "E714", "line 4 does not have 2 columns, with a path"),
        ('path,label\n"a.png,1\n', "E714", "unexpected end of data"),
        (b"path,label\n\xff.png,1\n", "E714", "can't decode byte 0xff"),
        ("path,label\na.png,1\nb.png,2\n../c.png,3\n", "E714", "of the 3 images in the list 'PLACE/l.csv' 2 are missing"),
        ("path,label\na.png,1\nb.png,2\n../c.png,3\n", "E714", "the first is 'PLACE/b.png' in line 3"),
        ("path,label\na.png,1\na.png, \na.png,\n", "E707", "of the 3 images in the list 'PLACE/l.csv' 2 have no label"),
        ("path,label\n", "E702", "there are no images in 'l.csv'"),
        ("path\na.png\n", "E707", "there is no label beside 'a.png' in 'l.csv'"),
    ],
)  # fmt: skip
def test_lists_that_are_none(tmp_path, text, code, found):
    write_files(
        tmp_path, [("a.png", png(IMAGES[0])), ("l.csv", text if isinstance(text, bytes) else text.encode())]
    )
    error = refusal(replace(FRAMES, path="l.csv", labels="file"), tmp_path)
    assert f"error {code}: " in error
    assert found.replace("PLACE", str(tmp_path)) in error


def test_a_list_without_labels_and_one_that_changes(tmp_path):
    listed(tmp_path)
    frames = replace(FRAMES, path="lists/a.csv")
    assert open_frames(frames, 3, tmp_path, 0).classes is None
    wanted = requested(frames, 3, tmp_path)
    make_index(wanted, wanted.beside)
    path = tmp_path / "lists" / "a.csv"
    path.write_text("path\n../pics/0.png\n")
    write_files(tmp_path, [("pics/0.png", png(IMAGES[0]))])
    assert open_frames(frames, 3, tmp_path, 0).count == 1


# --- what archives and stores may not do -----------------------------------------------------------------


def test_members_that_would_fill_the_memory_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("lnet.runtime.data.archives.LARGEST", 10_000)
    bomb = b"\x89PNG" + bytes(100_000)
    write_zip(tmp_path / "a.zip", [("0.png", png(IMAGES[0])), ("1.png", bomb)])
    write_tar(tmp_path / "a.tar", [("0.png", png(IMAGES[0])), ("1.png", bomb)])
    for name in ("a.zip", "a.tar"):
        dataset = open_frames(replace(FRAMES, path=name), 3, tmp_path, 0)
        assert [dataset.decodable(place) for place in range(2)] == [True, False]
        said = "it would have 100,004 bytes, and at most 10,000 are read"
        assert dataset.skipped == {f"{name}/1.png": said}


def test_an_image_of_too_many_pixels_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    large = np.zeros((9, 9, 3), np.uint8)
    write_tar(tmp_path / "a.tar", [("0.png", png(IMAGES[0])), ("1.png", png(large))])
    dataset = open_frames(replace(FRAMES, path="a.tar"), 3, tmp_path, 0)
    assert not dataset.decodable(1)
    assert "decompression bomb" in dataset.skipped["a.tar/1.png"]


def test_a_program_in_place_of_an_image_is_not_run(tmp_path):
    file = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(file, "EPS")
    write_tar(tmp_path / "a.tar", [("0.jpg", file.getvalue())])
    dataset = open_frames(replace(FRAMES, path="a.tar"), 3, tmp_path, 0)
    assert not dataset.decodable(0)
    assert "PostScript" in dataset.skipped["a.tar/0.jpg"]


def test_a_name_that_leads_out_of_an_archive_is_a_name(tmp_path):
    write_files(tmp_path, [("out/cat/0.png", png(IMAGES[1]))])
    write_tar(
        tmp_path / "in" / "a.tar", [("../out/cat/0.png", png(IMAGES[0]))], [("x/1.png", "../out/cat/0.png")]
    )
    with tarfile.open(tmp_path / "in" / "a.tar", "a") as archive:
        for name, target in (
            ("x/2.png", "../../out/cat/0.png"),
            ("x/3.png", str(tmp_path / "out/cat/0.png")),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    dataset = open_frames(replace(FRAMES, path="in/a.tar"), 3, tmp_path, 0)
    found = {name: dataset.original(place) for place, name in enumerate(dataset.names)}
    np.testing.assert_array_equal(found["../out/cat/0.png"], IMAGES[0])
    np.testing.assert_array_equal(found["x/1.png"], IMAGES[0])
    assert found["x/3.png"] is None


@pytest.mark.parametrize("name", ["x", "labels"])
def test_a_zarr_array_is_never_unpickled(tmp_path, name):
    """Versions of numcodecs before 0.16.5 unpickle what stands in a store."""
    group = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=2)
    for each in ("x", "labels"):
        group.create_array(each, shape=(2,), dtype="i4")[:] = 1
    written = json.loads((tmp_path / "a.zarr" / name / ".zarray").read_text())
    written |= {
        "dtype": "|O",
        "filters": [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}],
        "fill_value": None,
    }
    (tmp_path / "a.zarr" / name / ".zarray").write_text(json.dumps(written))
    with pytest.raises(
        LnetError, match=r"E703: .* cannot be read as arrays(.|\n)*Python objects, which are never read"
    ):
        open_columns(tmp_path / "a.zarr", "a.zarr").whole(name)
