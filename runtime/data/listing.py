"""The rules by which file names count as images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from lnet.dsl.diagnostics import LnetError, refused

_ALWAYS = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"))
ARCHIVES = (".tar", ".zip")
"""Suffixes of archives of images."""
_WHERE_PILLOW_READS_THEM = frozenset((".jfif", ".avif", ".heic", ".heif"))


@dataclass(frozen=True)
class Listing:
    """The listing rules: by suffix, and with or without hidden files.

    `unpacked`: links are resolved, and an archive counts as its unpacked files, for which it must be complete.
    """

    suffixes: frozenset[str]
    hidden: bool = False
    unpacked: bool = True

    def shows(self, name: str) -> bool:
        """Whether a file is listed at all: neither hidden nor in a hidden folder, as left by editors and macOS."""
        if self.hidden or (name[:1] != "." and "/." not in name and "__MACOSX" not in name):
            return True
        return not any(_is_hidden(part) for part in name.split("/"))

    def is_image(self, name: str) -> bool:
        return suffix_of(name) in self.suffixes


FIRST, NEWEST = 1, 2
"""Numbers of the listing rules."""


@cache
def listing(number: int = NEWEST) -> Listing:
    """Return the listing rules by number; runs of lnet 0.1 keep number 1."""
    if number == FIRST:
        return Listing(_ALWAYS, hidden=True, unpacked=False)
    return Listing(_ALWAYS | (_WHERE_PILLOW_READS_THEM & Image.registered_extensions().keys()))


def given_path(path: str) -> str:
    """Return a path; raises `LnetError` for an empty one, which would stand for the current folder."""
    if not path:
        raise refused("E701", "the path of the images is empty", hint="the current folder is '.'")
    return path


def cannot_be_read(path: Path, error: OSError) -> LnetError:
    """Return the error for an existing file that this process cannot read."""
    return refused("E703", f"'{path}' cannot be read", error.strerror or str(error))


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))


def suffix_of(name: str) -> str:
    """Return a file's suffix in lower case, with its dot."""
    last = name.rstrip("/").rpartition("/")[2]
    dot = last.rfind(".")
    return last[dot:].lower() if 0 < dot < len(last) - 1 else ""


def stat_of(path: Path) -> tuple[int, int]:
    """Return a file's size in bytes and modification time in nanoseconds; -1 and 0 if unknown."""
    try:
        found = path.stat()
    except OSError:
        return -1, 0
    return found.st_size, found.st_mtime_ns
