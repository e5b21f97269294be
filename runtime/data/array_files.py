"""Images in one array, `[n, rows, columns, channels]`: a `.npy` or `.npz` file, or an array in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lnet.dsl.diagnostics import LnetError, refused

from .arrays import check_images
from .listing import stat_of
from .samples import ImageSource, Place, opened

ARRAY_FILE = "array file"


@dataclass(frozen=True)
class Arrays:
    """Images, with labels `[n]` if there are any; `changed`: modification time of their file."""

    images: Any
    labels: Any
    changed: int = 0

    @property
    def stats(self) -> list[tuple[int, int]]:
        return [(self.images[:1].nbytes, self.changed)] * len(self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.images[index]


def array_source(
    images: Any, labels: Any, where: str, channels: int, shape: tuple[int, int, int] | None = None
) -> ImageSource:
    """Return an array in memory as a source, prepared with a `shape`; raises `LnetError` for one without images."""
    check_images(images, where, shape)
    return opened(Arrays(images, labels), ARRAY_FILE, where, channels, shape=shape)


def open_arrays(place: Place) -> Arrays:
    """Open a `.npy` or `.npz` file; raises `LnetError`."""
    images, labels = _read_arrays(place.path)
    check_images(images, f"'{place.path}'")
    return Arrays(images, labels, stat_of(place.path)[1])


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
            raise refused(
                "E704",
                f"'{path}' needs one array, or one named 'images'; found {found}",
                hint=f"np.savez('{path.name}', images=..., labels=...)",
            )
        return loaded[names[0]], loaded["labels"] if "labels" in loaded.files else None
    except LnetError:
        raise
    except Exception as error:  # a damaged file makes its reader raise almost anything
        hint: str | tuple[str, ...] = ()
        if "allow_pickle" in str(error):
            hint = "it holds Python objects, which are never read: np.stack makes one array of images of one size"
        raise refused("E703", f"'{path}' is no readable array file", str(error), hint=hint) from error
