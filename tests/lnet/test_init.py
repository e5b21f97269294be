"""`lnetc init`: a file for one's images, which is fine, formatted, and learns."""

import numpy as np
import pytest
from commands import lnetc
from PIL import Image

import lnet


@pytest.fixture(autouse=True)
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paint(folder, count, rows, columns, grey=False):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for number in range(count):
        pixels = rng.integers(0, 255, (rows, columns, 3), dtype=np.uint8)
        Image.fromarray(pixels[..., :1].repeat(3, 2) if grey else pixels).save(folder / f"{number}.png")


def written(*arguments):
    """The text of a file that `lnetc init` writes, once check and fmt have nothing to say of it."""
    said = lnetc("init", *arguments).output
    file = said.partition(":")[0]
    assert lnetc("check", file).output == f"{file}: fine\n"
    assert lnetc("fmt", "--check", file).output == ""
    return file, said


@pytest.mark.parametrize(
    ("side", "size", "stages", "grey"),
    [(8, 16, 1, True), (31, 24, 2, False), (32, 32, 2, True), (50, 48, 2, False), (200, 64, 3, False)],
)
def test_the_input_fits_the_images(there, side, size, stages, grey):
    paint(there / "photos", 2, side, side + 3, grey)
    file, said = written("photos")
    graph = lnet.compile(file).graph
    assert str(graph.input.sheet) == f"{size}x{size}x{1 if grey else 3}"
    assert len(graph.stages) == stages
    assert graph.training.data.crop == ("random" if side == 200 else "resize")
    assert f"2 images, {'grey' if grey else 'in colour'}, {side}x{side + 3} pixels, no labels used" in said


def test_what_it_writes_for_images_without_labels_trains(there):
    paint(there / "my photos!", 3, 40, 30)
    paint(there / "my photos!" / "more", 2, 20, 90)
    file, said = written("my photos!")
    assert file == "my_photos.lnet"
    assert "20x90 to 40x30 pixels" in said or "20x30 to 40x90 pixels" in said
    run = lnet.train(lnet.compile(file), steps=12, directory="run")
    losses = [event.loss for event in run.events() if event.name == "step"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("side", [10, 24, 32, 48, 64])
def test_labels_are_found_and_learned(there, side):
    for name in "ab":
        paint(there / "set" / name, 3 if name == "a" else 4, side, side)
    file, said = written("set", "-o", "sub.lnet")
    assert "7 images" in said
    assert "2 classes" in said
    graph = lnet.compile(file).graph
    assert graph.training.data.labels == "folder"
    assert graph.layer("class").sheet.maps == 2
    if side == 10:
        assert lnet.train(lnet.compile(file), steps=2, directory="run").classes == ("a", "b")
    lnetc("init", "set", "-o", "sub.lnet", "--without-labels", "--overwrite")
    assert lnet.compile("sub.lnet").graph.training.data.labels is None


def test_integers_are_the_indices_of_their_units(there):
    for name in ("0", "3"):
        paint(there / "set" / name, 2, 16, 16)
    file, _ = written("set")
    assert lnet.compile(file).graph.layer("class").sheet.maps == 4
    lnet.train(lnet.compile(file), steps=1, directory="run")


def test_nothing_is_overwritten_unless_told(there):
    paint(there / "photos", 1, 16, 16)
    written("photos")
    (there / "photos.lnet").write_text("mine")
    refused = lnetc("init", "photos", status=1).output
    assert "E608" in refused
    assert "'photos.lnet' exists already" in refused
    assert (there / "photos.lnet").read_text() == "mine"
    lnetc("init", "photos", "--overwrite")
    assert lnet.compile("photos.lnet").graph.name == "photos"


def test_the_path_is_that_from_the_file_and_any_name_does(there):
    paint(there / 'a "b" \\c', 2, 16, 16)
    (there / "deep").mkdir()
    file, _ = written('a "b" \\c', "-o", "deep/x.lnet")
    lnet.train(lnet.compile(file), steps=1, directory="run")
    (there / "train").symlink_to(there / 'a "b" \\c')
    np.save("2024.npy", np.zeros((5, 20, 20, 1), np.uint8))
    file, said = written("2024.npy")
    assert file == "set_2024.lnet"
    assert "5 images, grey, 20x20 pixels" in said


def test_names_of_several_lines_and_words(there):
    for name in ("first\nline", "b"):
        paint(there / "a\nset" / name, 2, 16, 16)
    lnetc("init", "a\nset", "-o", "my set.lnet")
    assert lnet.compile("my set.lnet").graph.training.data.path == "a\nset"
    text = (there / "my set.lnet").read_text()
    assert "2 classes (b, first line)" in text
    assert "lnetc explain 'my set.lnet'" in text
    assert "lnetc run 'my set.lnet'" in lnetc("init", "a\nset", "-o", "my set.lnet", "--overwrite").output


def test_images_that_cannot_be_read(there):
    paint(there / "photos", 2, 16, 16)
    (there / "photos" / "2.png").write_bytes(b"no image")
    assert "3 images, in colour, 16x16 pixels (2 looked at)" in written("photos")[1]
    (there / "empty").mkdir()
    assert "E702" in lnetc("init", "empty", status=1).output
    assert "E701" in lnetc("init", "nowhere", status=1).output
    (there / "broken").mkdir()
    (there / "broken" / "a.png").write_bytes(b"no image")
    assert "E706" in lnetc("init", "broken", status=1).output
    assert not list(there.glob("*.lnet")) or [path.name for path in there.glob("*.lnet")] == ["photos.lnet"]
