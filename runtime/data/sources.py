"""What a source of images is, and which files count as images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from PIL import Image

from lnet.dsl.diagnostics import LnetError, refused

from .pixels import Loaded

ARCHIVES = frozenset((".tar", ".zip"))
ARRAYS = frozenset((".npy", ".npz"))
VIDEOS = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"))
_ALWAYS = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"))
_WHERE_PILLOW_READS_THEM = frozenset((".jfif", ".avif", ".heic", ".heif"))


class ImageSource(Protocol):
    """A sequence of images that can be read in any order by several threads."""

    @property
    def kind(self) -> str:
        """What it is to a person: a folder, files, an archive, an array file or a video."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def stats(self) -> Sequence[tuple[int, int]]:
        """The bytes of each image as it is stored, and when its file was last changed, in nanoseconds; 0: in none."""

    @property
    def labels(self) -> Sequence[str] | None:
        """The label of each image, where it has one of its own; else its folder's name may be one."""

    @property
    def ignored(self) -> Mapping[str, int]:
        """How many files among the images are none, by suffix."""

    def load(self, index: int) -> dict[int, Loaded]:
        """Return an image, and those that were decoded on the way; raises `Corrupt`."""


@dataclass(frozen=True)
class Listing:
    """Which files count as images: by suffix, and whether hidden ones do.

    `unpacked`: links are what they lead to, and an archive is what unpacking it leaves, for which it must be whole.
    """

    suffixes: frozenset[str]
    hidden: bool = False
    unpacked: bool = True

    def shows(self, name: str) -> bool:
        """Whether a file is seen at all: neither hidden nor in a hidden folder, as editors and macOS leave them."""
        return self.hidden or not any(_is_hidden(part) for part in name.split("/"))

    def is_image(self, name: str) -> bool:
        return suffix_of(name) in self.suffixes


FIRST, NEWEST = 1, 2
"""Ways of listing files, by number."""


@cache
def listing(number: int = NEWEST) -> Listing:
    """Return the listing rules by number; runs of lnet 0.1 keep number 1."""
    if number == FIRST:
        return Listing(_ALWAYS, hidden=True, unpacked=False)
    return Listing(_ALWAYS | (_WHERE_PILLOW_READS_THEM & Image.registered_extensions().keys()))


def cannot_be_read(path: Path, error: OSError) -> LnetError:
    """Return the error for a file that is there, and that the system does not let this process read."""
    return refused("E703", f"'{path}' cannot be read", error.strerror or str(error))


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))


def suffix_of(name: str) -> str:
    """Return a file's suffix in small letters, with its dot."""
    return PurePosixPath(name).suffix.lower()


def stat_of(path: Path) -> tuple[int, int]:
    """Return a file's bytes and when it was last changed, in nanoseconds; -1 and 0 if the system does not say."""
    try:
        found = path.stat()
    except OSError:
        return -1, 0
    return found.st_size, found.st_mtime_ns
