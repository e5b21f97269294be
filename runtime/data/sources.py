"""Where images lie: files, tar archives, arrays. Each source has names, labels where it knows them, and `load`."""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np

from lnet.dsl.diagnostics import refused

from .pixels import Pixels, decode_image, with_channels

IMAGES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"))
ARRAYS = frozenset((".npy", ".npz"))
VIDEOS = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"))


class ImageSource(Protocol):
    """A sequence of images that can be read in any order by several threads."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Sequence[str] | None: ...

    def load(self, index: int) -> dict[int, Pixels]:
        """Return the pixels of an image, and of those that were decoded on the way; raises `Corrupt`."""


@dataclass(frozen=True)
class Files:
    """Image files; names are relative to the folder that they were found in."""

    folder: Path
    names: Sequence[str]
    channels: int
    labels: Sequence[str] | None = None

    def load(self, index: int) -> dict[int, Pixels]:
        try:
            data = (self.folder / self.names[index]).read_bytes()
        except OSError as error:
            data = str(error).encode()  # no image: reported as corrupt, with the others
        return {index: decode_image(data, self.channels)}


def files_in(folder: Path, channels: int) -> Files:
    """Return the images of a folder and the folders in it, in the order of their names."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.is_file()]
    return Files(folder, sorted(path.relative_to(folder).as_posix() for path in found), channels)


class Tar:
    """The images in an uncompressed tar archive, read where they lie."""

    labels = None

    def __init__(self, path: Path, channels: int) -> None:
        self.channels = channels
        try:
            with tarfile.open(path, "r:") as archive:
                members = [
                    m for m in archive if m.isfile() and PurePosixPath(m.name).suffix.lower() in IMAGES
                ]
        except (OSError, tarfile.TarError) as error:
            raise refused(
                "E703",
                f"'{path}' is no readable tar archive",
                str(error),
                hint="archives must not be compressed",
            ) from error
        members.sort(key=lambda member: member.name)
        self.names = [member.name for member in members]
        self._places = [(member.offset_data, member.size) for member in members]
        self._file = open(path, "rb")  # noqa: SIM115 (kept open: members are read as they are asked for)

    def load(self, index: int) -> dict[int, Pixels]:
        offset, size = self._places[index]
        return {index: decode_image(os.pread(self._file.fileno(), size, offset), self.channels)}


class Arrays:
    """The images of a `.npy` or `.npz` file: `[n, rows, columns, channels]`, uint8 or float in 0..1."""

    def __init__(self, path: Path, channels: int) -> None:
        self.channels = channels
        images, labels = _read_arrays(path)
        self.images = _checked(images, path)
        self.names = [f"{path.name}[{i}]" for i in range(len(self.images))]
        self.labels = None if labels is None else _checked_labels(labels, len(self.images), path)

    def load(self, index: int) -> dict[int, Pixels]:
        pixels = np.asarray(self.images[index])
        if pixels.dtype != np.uint8:
            pixels = pixels.astype(np.float32)
        return {index: with_channels(pixels, self.channels)}


def _read_arrays(path: Path) -> tuple[Any, Any]:
    """Return the images of a file and the labels beside them, if there are any."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if not hasattr(loaded, "files"):
            return loaded, None
        names = [name for name in loaded.files if name != "labels"]
        if "images" in names:
            names = ["images"]
        if len(names) != 1:
            found = ", ".join(f"'{name}'" for name in names) or "none"
            raise refused("E704", f"'{path}' needs one array, or one named 'images'; found {found}")
        return loaded[names[0]], loaded["labels"] if "labels" in loaded.files else None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise refused("E703", f"'{path}' is no readable array file", str(error)) from error


def _checked_labels(labels: Any, images: int, path: Path) -> list[str]:
    if labels.ndim != 1:
        expected = f"expected one label for each image, [{images}]"
        raise refused("E704", f"the labels in '{path}' have the shape {list(labels.shape)}", expected)
    if len(labels) != images:
        raise refused("E704", f"'{path}' has {images} images but {len(labels)} labels")
    return [label.decode(errors="replace") if isinstance(label, bytes) else str(label) for label in labels]


def _checked(images: Any, path: Path) -> Any:
    expected = "expected [n, rows, columns, channels] with 1 or 3 channels, uint8 or float in 0..1"
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise refused("E704", f"the array in '{path}' has the shape {list(images.shape)}", expected)
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise refused("E704", f"the array in '{path}' holds {images.dtype}", expected)
    if images.dtype != np.uint8 and len(images):
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise refused(
                "E704",
                f"the array in '{path}' has values from {low:g} to {high:g}",
                expected,
                hint="scale it to 0..1",
            )
    return images
