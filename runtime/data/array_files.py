"""Images in one array, `[n, rows, columns, channels]`: in a file of arrays (columns.py), or in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from posixpath import basename, dirname, join
from typing import Any

import numpy as np

from lnet.dsl.diagnostics import refused

from .arrays import check_images
from .columns import Column, Columns, open_columns
from .listing import Listing, suffix_of
from .samples import ImageSource, Place, opened

ARRAY_FILE = "array file"
SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".zarr")
IMAGES, LABELS = "images", "labels"


@dataclass(frozen=True)
class Arrays:
    """Images, with labels `[n]` if there are any; `changed`: modification time of their file."""

    images: Column
    labels: Any
    changed: int = 0

    @property
    def stats(self) -> list[tuple[int, int]]:
        count, *_ = self.images.shape
        size = int(np.prod(self.images.shape[1:])) * np.dtype(self.images.dtype).itemsize
        return [(size, self.changed)] * count

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitem__(self, index: int) -> Any:
        return self.images[index]


def array_source(
    images: Any,
    labels: Any,
    where: str,
    channels: int,
    dtype: str,
    shape: tuple[int, int, int] | None = None,
) -> ImageSource:
    """Return an array in memory as a source of numbers of a type, prepared with a `shape`.

    Raises `LnetError` for one without images.
    """
    check_images(images, where, shape)
    return opened(Arrays(images, labels), ARRAY_FILE, where, channels, shape=shape, dtype=dtype)


def holds_arrays(path: Path, rules: Listing) -> bool:
    """Whether a path is that of arrays, by its name."""
    return path.name.endswith(".zarr.zip") or suffix_of(path.name) in SUFFIXES


def open_arrays(place: Place) -> Arrays:
    """Open the images of a file of arrays, and the labels beside them; raises `LnetError`."""
    columns = open_columns(place.path, str(place.path))
    name = _named(columns, place)
    images = columns[name]
    check_images(images, columns.where)
    labels = join(dirname(name), LABELS)
    beside = labels in columns.names and not columns.whatever
    return Arrays(images, columns.whole(labels) if beside else None, columns.changed)


def _named(columns: Columns, place: Place) -> str:
    """Return the path of the array of images: the one that is named, else the only one of that name, or at all."""
    if place.array is not None:
        return place.array.strip("/")
    names = [name for name in columns.names if basename(name) != LABELS]
    for some in ([name for name in names if basename(name) == IMAGES], names):
        if len(some) == 1:
            return some[0]
    found = ", ".join(f"'{name}'" for name in names) or "none"
    hint = f"name one: '{place.path.name}:{names[0]}'" if names else ()
    message = f"'{place.path}' needs one array, or one named '{IMAGES}'; found {found}"
    raise refused("E704", message, hint=hint)
