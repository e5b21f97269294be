"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
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
    handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, target)
    except BaseException:
        os.unlink(aside)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
