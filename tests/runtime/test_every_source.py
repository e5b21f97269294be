"""Every kind of image source, entered in `SOURCES`: three images that are written as it reads them, read back."""

import io
import re
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.runtime.data import open_frames
from lnet.runtime.data.sources import SOURCES

PLAIN = Frames("", Size(16, 16), crop="center", flip=False, normalize="none", labels="folder")
LABELLED = {"dark": 40, "grey": 130, "light": 220}
"""The grey of the image of each label."""
REFERENCE = (Path(__file__).parents[2] / "docs/language.md").read_text()
PATHS = REFERENCE.partition("\n*Paths.*")[2].partition("\n\n")[0]


def pixels(grey):
    return np.full((16, 16, 3), grey, np.uint8)


def png(grey):
    file = io.BytesIO()
    Image.fromarray(pixels(grey)).save(file, "PNG")
    return file.getvalue()


def folder(place):
    for label, grey in LABELLED.items():
        (place / "all" / label).mkdir(parents=True)
        (place / "all" / label / "0.png").write_bytes(png(grey))
    return "all"


def image(place):
    return f"{folder(place)}/*/0.png"


def archive(place):
    with tarfile.open(place / "all.tar", "w") as file:
        file.add(place / folder(place), "all")
    return "all.tar"


def listed(place):
    """Paths are relative to the list, and no folder says a label."""
    for folder in ("flat", "lists"):
        (place / folder).mkdir()
    for number, grey in enumerate(LABELLED.values()):
        (place / "flat" / f"{number}.png").write_bytes(png(grey))
    rows = [f"../flat/{number}.png,{label}" for number, label in enumerate(LABELLED)]
    (place / "lists" / "all.csv").write_text("\n".join(["path,label", *rows, ""]))
    return "li*/all.csv"


def array(place):
    np.savez(place / "all.npz", images=np.stack([*map(pixels, LABELLED.values())]), labels=[*LABELLED])
    return "all.npz"


def video(place):
    for label, grey in LABELLED.items():
        (place / "all" / label).mkdir(parents=True)
        with av.open(str(place / "all" / label / "clip.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width = stream.height = 16
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels(grey), format="rgb24")))
            container.mux(stream.encode())
    return "all/*/clip.mp4"


WRITTEN = {
    "folder": folder,
    "image": image,
    "archive": archive,
    "list": listed,
    "array": array,
    "video": video,
}
"""Of each source, by its name: a function that writes the three images with their labels, and returns their path."""


def test_every_source_is_written_and_read_here():
    assert {source.name for source in SOURCES} == set(WRITTEN)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_what_is_written_is_read_with_names_and_labels(source, tmp_path):
    dataset = open_frames(replace(PLAIN, path=WRITTEN[source.name](tmp_path)), 3, tmp_path, 0)
    assert set(dataset.catalog.kinds) == {source.kind}
    assert len(set(dataset.names)) == dataset.count == len(LABELLED)

    def read(number):
        batch = dataset.at([number])
        return batch.images[0], int(batch.labels[0])

    with ThreadPoolExecutor(4) as several:
        found, again = list(several.map(read, range(3))), list(several.map(read, range(3)))
    for (pixels_of, label), (same, _) in zip(found, again, strict=True):
        np.testing.assert_array_equal(pixels_of, same)
        np.testing.assert_allclose(pixels_of * 255, LABELLED[dataset.classes[label]], atol=6)
    assert {label for _, label in found} == {0, 1, 2}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_reference_names_every_source(source):
    words = set(re.findall(r"[.\w]+", PATHS.lower()))
    assert words & {source.name, *source.suffixes}, "the paragraph 'Paths' of docs/language.md"
