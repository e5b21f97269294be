"""Checkpoints of version 0.1, which are read and never written: one file, with a crc32 of each array in its metadata.

step-00000500.safetensors      params/V1.filter.weight, update/0.sum_of_squares/V1.filter.weight, ...
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from .checkpoint import check_format
from .safetensors import Array, Damaged, data_of, open_arrays

SUFFIX = ".safetensors"
FORMAT = "1"


def checked_arrays(path: Path) -> Iterator[tuple[str, Array]]:
    """Yield the arrays of a file by name; raises `Damaged` for one that is not as it was written, and OSError."""
    with open_arrays(path) as file:
        check_format(path, file.metadata.get("format"), FORMAT)
        try:
            checksums = dict(json.loads(file.metadata["crc32"]))
        except (KeyError, ValueError, TypeError) as error:
            raise Damaged(f"it has no checksums: {error}") from error
        for name, array in file.arrays():
            if checksums.pop(name, None) != zlib.crc32(data_of(array)):
                raise Damaged(f"the checksum of '{name}' does not match")
            yield name, array
        if checksums:
            raise Damaged(f"'{next(iter(checksums))}' is missing")
