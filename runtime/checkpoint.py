"""Checkpoints: parameters and the update rule's state, one safetensors file each.

    checkpoints/step-00000500.safetensors      params/V1.filter.weight, update/0.sum_of_squares/V1.filter.weight, ...

A file is written aside, flushed to the disk and renamed, so that one with its final name is whole. Every array has a
checksum in the file's metadata: one that does not match, or a file cut short, is passed over for the one before.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

FORMAT = "1"


class Unreadable(Exception):
    """A checkpoint that is damaged; the message says how."""


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
    try:
        save_file(arrays, path, metadata)
    except SafetensorError as error:  # the library's own wrapping of a full disk
        raise OSError(str(error)) from error
    flush(path)


def read_checkpoint(path: Path, step: int) -> Checkpoint:
    """Read a checkpoint; raises `Unreadable` if anything in it is not as it was written."""
    arrays = dict(_checked(path))
    return Checkpoint(step, _under("params/", arrays), _under("update/", arrays))


def check_checkpoint(path: Path) -> None:
    """Read a checkpoint and keep nothing of it; raises `Unreadable` as `read_checkpoint` does."""
    for _ in _checked(path):
        pass


def _checked(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise Unreadable(f"it has format {metadata.get('format')!r}, not {FORMAT!r}")
            checksums = json.loads(metadata["crc32"])
            for name in file.keys():  # noqa: SIM118 (no mapping)
                array = file.get_tensor(name)
                if checksums.get(name) != _checksum(array):
                    raise Unreadable(f"the checksum of '{name}' does not match")
                yield name, array
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise Unreadable(str(error)) from error


def _under(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _checksum(array: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def flush(path: Path) -> None:
    """Make sure that a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
