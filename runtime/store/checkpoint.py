"""A checkpoint in memory, and when one on the disk is damaged.

Damaged is what was read, twice, and is not as it was written; it is passed over for the one before. What the system does
not let this process read is not: that is an OSError, and nothing follows from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lnet.dsl.diagnostics import refused

from .safetensors import Damaged

Found = TypeVar("Found")


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after a number of steps: arrays by name.

    `torn`: updates after that step which are in some of the arrays and not in others, as an asynchronous run saves them.
    """

    step: int
    params: Mapping[str, Any]
    update: Mapping[str, Any]
    torn: int = 0


def check_format(path: Path, found: Any, *own: str) -> None:
    """Raise `LnetError` for a file in the format of another version of this program, `Damaged` for one in none."""
    if found in own:
        return
    if not str(found).isdecimal():
        raise Damaged(f"it has format {found!r}, not {own[-1]!r}")
    raise refused(
        "E742",
        f"the checkpoint '{path}' has format {found!r}, and this program reads format {own[-1]!r}",
        hint="go on with the version of lnet that wrote it",
    )


def certainly(read: Callable[[Path], Found], path: Path) -> Found:
    """Read a checkpoint with `read`; raises `Damaged` only if a second read, from the disk, finds it damaged too."""
    try:
        return read(path)
    except Damaged:
        for file in parts(path):
            _forget(file)
        return read(path)


def parts(path: Path) -> list[Path]:
    """Return a checkpoint's path, and the files in it if it is a folder."""
    return [path, *path.rglob("*")]


def _forget(path: Path) -> None:
    """Let the system read a file from its disk the next time."""
    if path.is_file() and hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
