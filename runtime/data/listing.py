"""Which files count as images, by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import Image

from lnet.dsl.diagnostics import LnetError, refused

_ALWAYS = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"))
_WHERE_PILLOW_READS_THEM = frozenset((".jfif", ".avif", ".heic", ".heif"))


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
