"""Atomic writes, unreadable files, and file names that are not UTF-8."""

from __future__ import annotations

import fnmatch
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lnet.dsl.diagnostics import Diagnostic, LnetError


def write_aside(target: Path, content: str | bytes) -> None:
    """Write a file atomically: under a temporary name, then renamed; raises OSError."""
    with written_aside(target) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_aside(target: Path, token: str = "") -> Iterator[BinaryIO]:
    """Open a temporary file, with a token in its name, renamed to `target` once it is synced; raises OSError."""
    aside = target.with_name(f".{target.name}.{token}{secrets.token_hex(4)}")
    with open(aside, "xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(aside, target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(aside)
            raise


def sync_folder(folder: Path) -> None:
    """Make sure that what a folder names is on the disk; raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Unreadable(LnetError):
    """A file of a run that exists, but that this process cannot read."""


def unreadable(path: Path, error: OSError) -> Unreadable:
    """Return the error for an OSError about a file."""
    hint = "nothing was changed: when it can be read, give the same command again"
    return Unreadable([Diagnostic("E732", f"'{path}' cannot be read", notes=(str(error),), hints=(hint,))])


def listed(folder: Path, pattern: str) -> list[Path]:
    """Return the matching files of a run's folder, sorted; none if it does not exist. Raises `LnetError`."""
    try:
        return sorted(folder / name for name in fnmatch.filter(os.listdir(folder), pattern))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def plain(path: str) -> str:
    """Return a layer's path as part of a file name that needs no quotes in a shell: `area[3].norm` as `area-3.norm`."""
    return path.replace("[", "-").replace("]", "")


def readable(text: str) -> str:
    """Return a text with bytes of file names that are not UTF-8 replaced by U+FFFD, for pages."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
