"""Files that are whole or not there, and names that are not text."""

from __future__ import annotations

import fnmatch
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lnet.dsl.diagnostics import Diagnostic, LnetError


def write_aside(target: Path, content: str | bytes) -> None:
    """Write a file aside, then rename it, so that no reader ever sees half of it; raises OSError."""
    with written_aside(target) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_aside(target: Path) -> Iterator[BinaryIO]:
    """Give a file to write into, which takes its name once all of it is on the disk; raises OSError."""
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    with open(aside, "xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(aside, target)
        except BaseException:
            os.unlink(aside)
            raise


class Unreadable(LnetError):
    """A file of a run that is there, and that the system does not let this process read."""


def unreadable(path: Path, error: OSError) -> Unreadable:
    """Return the error for an OSError about a file."""
    hint = "nothing was changed: when it can be read, give the same command again"
    return Unreadable([Diagnostic("E732", f"'{path}' cannot be read", notes=(str(error),), hints=(hint,))])


def listed(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a run's folder that match, by name, none if there is no such folder; raises `LnetError`."""
    try:
        return sorted(folder / name for name in fnmatch.filter(os.listdir(folder), pattern))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def readable(text: str) -> str:
    """Return a text with names of files as a page can hold it: bytes in them that are no UTF-8 become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
