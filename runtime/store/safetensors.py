"""Files of arrays in the safetensors format, written and read one array after the other.

    length of the header (8 bytes) | header: JSON of names, types, shapes, places, texts | the bytes of all arrays

The format's own library maps a file into memory, where an error of the disk kills the process, says of a file that may
not be opened that it is missing, and hides what it writes from everybody else. Here the system's errors stay what they
are, and a file is damaged only if what was read of it is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np

Array = np.ndarray[Any, Any]

TYPES: Mapping[str, Any] = {
    "BOOL": "?",
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    "BF16": jnp.bfloat16,
}
"""The format's names of types, and numpy's."""
NAMES = {np.dtype(type): name for name, type in TYPES.items()}


class Damaged(Exception):
    """A file that is not as it was written: a checksum, a header or a length is wrong; the message says which."""


def write_arrays(file: BinaryIO, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write arrays by name, and texts beside them; raises OSError."""
    file.write(header_of(arrays, metadata))
    for array in arrays.values():
        file.write(data_of(np.ascontiguousarray(array)))


def flush(file: BinaryIO) -> None:
    """Make sure that what was written to a file is on the disk; raises OSError."""
    file.flush()
    os.fsync(file.fileno())


def header_of(arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """Return what comes before the bytes of all arrays in a file."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, array in arrays.items():
        end = offset + array.nbytes
        header[name] = {
            "dtype": NAMES[np.dtype(array.dtype)],
            "shape": array.shape,
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


@dataclass(frozen=True)
class ArrayFile:
    """A file whose header has been read; `places` are type, shape and place of each array, in the file's order."""

    file: BinaryIO
    header: bytes
    metadata: Mapping[str, str]
    places: Mapping[str, tuple[np.dtype[Any], tuple[int, ...], int]]

    def size(self, name: str) -> int:
        """Return the bytes of an array."""
        dtype, shape, _ = self.places[name]
        return _size(dtype, shape)

    def read(self, name: str) -> Array:
        """Return an array; raises `Damaged` if the file ends before it does, and OSError."""
        dtype, shape, begin = self.places[name]
        array = np.empty(shape, dtype)
        self.file.seek(begin)
        self.fill(name, data_of(array))
        return array

    def fill(self, name: str, into: memoryview) -> None:
        """Read what comes next in the file, a part of an array; raises as `read` does."""
        if self.file.readinto(into) != len(into):  # type: ignore[attr-defined]
            raise Damaged(f"the file ends within '{name}'")

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield arrays with their names; raises `Damaged` where the file ends too soon, and OSError."""
        for name in self.places:
            yield name, self.read(name)

    def checked_arrays(self, sha256: str) -> Iterator[tuple[str, Array]]:
        """Yield what `arrays` does; raises `Damaged` after the last one unless the file's SHA-256 begins as given.

        A second thread computes it, of one array while the next one is read.
        """
        digest = hashlib.sha256(self.header)
        with ThreadPoolExecutor(1) as beside:
            hashed: Future[None] | None = None
            for name, array in self.arrays():
                if hashed is not None:
                    hashed.result()
                hashed = beside.submit(digest.update, data_of(array))
                yield name, array
        if not digest.hexdigest().startswith(sha256):
            raise Damaged("its digest does not match")


@contextmanager
def open_arrays(path: Path) -> Iterator[ArrayFile]:
    """Open a file and read its header; raises `Damaged` if that or the file's length is wrong, and OSError."""
    with open(path, "rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        size = os.fstat(file.fileno()).st_size
        if not 8 + length <= size:
            raise Damaged(f"its {size:,} bytes end within the header")
        text = file.read(length)
        try:
            header = json.loads(text)
            metadata = header.pop("__metadata__", {})
            places = _places(header, 8 + length)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Damaged(f"its header cannot be read: {error}") from error
        expected = max(
            (begin + _size(dtype, shape) for dtype, shape, begin in places.values()), default=8 + length
        )
        if size != expected:
            raise Damaged(f"it has {size:,} bytes, its header says {expected:,}")
        yield ArrayFile(file, start + text, metadata, places)


def _places(header: Any, after: int) -> dict[str, tuple[np.dtype[Any], tuple[int, ...], int]]:
    """Return the arrays' offsets, in the file's order; raises ValueError, KeyError or TypeError for an invalid header."""
    found = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["dtype"] not in TYPES:
            raise ValueError(f"'{name}' has the type {entry['dtype']}, expected one of {', '.join(TYPES)}")
        dtype, shape = np.dtype(TYPES[entry["dtype"]]), tuple(int(extent) for extent in entry["shape"])
        begin, end = entry["data_offsets"]
        if begin < 0 or min(shape, default=0) < 0 or end - begin != _size(dtype, shape):
            raise ValueError(f"'{name}' has no place for {shape}")
        found[name] = dtype, shape, after + begin
    return found


def _size(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    return dtype.itemsize * prod(shape)


def data_of(array: Array) -> memoryview:
    """Return the bytes of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data
