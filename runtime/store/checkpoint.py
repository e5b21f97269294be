"""Checkpoints: parameters and the update rule's state, one safetensors file each.

    checkpoints/step-00000500.safetensors      params/V1.filter.weight, update/0.sum_of_squares/V1.filter.weight, ...

A file is written aside, flushed to the disk and renamed, so that one with its final name is whole. Every array has a
checksum in the file's metadata: one that does not match, or a file cut short, is damaged, and passed over for the one
before. What the system does not let this process read is not: that is an OSError, and nothing follows from it.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lnet.dsl.diagnostics import refused

from .safetensors import Damaged, open_arrays, write_arrays

FORMAT = "1"


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


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; raises OSError."""
    arrays = {f"params/{name}": np.asarray(array) for name, array in checkpoint.params.items()}
    arrays |= {f"update/{name}": np.asarray(array) for name, array in checkpoint.update.items()}
    checksums = {name: _checksum(array) for name, array in arrays.items()}
    metadata = {"format": FORMAT, "step": str(checkpoint.step), "crc32": json.dumps(checksums)}
    with open(path, "wb") as file:
        write_arrays(file, arrays, metadata)
        file.flush()
        os.fsync(file.fileno())


def read_checkpoint(path: Path, step: int) -> Checkpoint:
    """Read a checkpoint; raises `Damaged` if anything in it is not as it was written, and OSError."""
    arrays = dict(_checked(path))
    return Checkpoint(step, _under("params/", arrays), _under("update/", arrays))


def check_checkpoint(path: Path) -> None:
    """Read a checkpoint and keep nothing of it; raises as `read_checkpoint` does."""
    for _ in _checked(path):
        pass


def _checked(path: Path) -> Iterator[tuple[str, Any]]:
    with open_arrays(path) as file:
        check_format(path, file.metadata.get("format"), FORMAT)
        try:
            checksums = dict(json.loads(file.metadata["crc32"]))
        except (KeyError, ValueError, TypeError) as error:
            raise Damaged(f"it has no checksums: {error}") from error
        for name, array in file.arrays():
            if checksums.pop(name, None) != _checksum(array):
                raise Damaged(f"the checksum of '{name}' does not match")
            yield name, array
        if checksums:
            raise Damaged(f"'{next(iter(checksums))}' is missing")


def check_format(path: Path, found: Any, own: str) -> None:
    """Raise `LnetError` for a file in the format of another version of this program, `Damaged` for one in none."""
    if found == own:
        return
    if not str(found).isdecimal():
        raise Damaged(f"it has format {found!r}, not {own!r}")
    raise refused(
        "E742",
        f"the checkpoint '{path}' has format {found!r}, and this program reads format {own!r}",
        hint="go on with the version of lnet that wrote it",
    )


def certainly(read: Callable[[Path], Found], path: Path) -> Found:
    """Read a checkpoint with `read`; raises `Damaged` only if a second read, from the disk, finds it damaged too."""
    try:
        return read(path)
    except Damaged:
        for file in [path, *path.rglob("*")]:
            _forget(file)
        return read(path)


def _forget(path: Path) -> None:
    """Let the system read a file from its disk the next time."""
    if path.is_file() and hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _under(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _checksum(array: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def date_last(path: Path, folder: Path, step: int) -> None:
    """Date a checkpoint, before it is renamed, after others of its step in a folder: of these the one written last counts.

    The wall clock may have been set back since they were written.
    """
    dates = [other.lstat().st_mtime_ns for other in folder.glob(f"step-{step:08d}[-.]*") if other != path]
    if dates and path.stat().st_mtime_ns <= max(dates):
        later = max(dates) + 2 * 10**9  # some file systems count in steps of two seconds
        os.utime(path, ns=(later, later))


def flush(path: Path) -> None:
    """Make sure that a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
