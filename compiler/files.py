"""Files that are whole or not there, and names that are not text."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


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


def readable(text: str) -> str:
    """Return a text with names of files as a page can hold it: bytes in them that are no UTF-8 become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
