"""Files of arrays of which any part is read, and checked, without the rest.

    header | array: block, block, ..., rest | array: ... | checksums: one for each block and rest, in the order of the file
      \\_______________________________________________/______ \\_____ SHA-256: the file's digest

Who reads a part reads the header, the checksums and the blocks that the part lies in, and knows that they are as they were
written. Of the other blocks nothing is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Region

from .safetensors import Array, ArrayFile, Damaged, data_of, flush, header_of

CHECKSUMS = "checksums"
BLOCK = 2**16
"""Bytes with one checksum: what is read beyond a part, at most, at each of its ends; a checksum is 1/8,000 of it."""
AT_ONCE = 256
"""Blocks that are read before their checksums are compared, while the next ones are read."""
Range = tuple[int, int]
Checksums = NDArray[np.uint64]


def write_blocks(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    """Write a file of arrays to the disk, and return its digest; a second thread computes checksums. Raises OSError."""
    ready = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    checksums = np.empty(sum(_blocks(array.nbytes) for array in ready.values()), np.uint64)
    header = header_of({**ready, CHECKSUMS: checksums}, metadata)
    beside = Thread(target=_compute, args=(ready, checksums))
    with open(path, "wb") as file:
        beside.start()
        file.write(header)
        for array in ready.values():
            file.write(data_of(array))
        beside.join()
        file.write(data_of(checksums))
        flush(file)
    return _digest(header, checksums)


def _compute(arrays: Mapping[str, Array], checksums: Checksums) -> None:
    checksums[:] = [found for array in arrays.values() for found in _checksums(data_of(array))]


def _checksums(data: memoryview) -> list[int]:
    blocks = (data[begin : begin + BLOCK] for begin in range(0, len(data), BLOCK))
    return [int.from_bytes(hashlib.sha256(block).digest()[:8], "little") for block in blocks]


def _digest(header: bytes, checksums: Checksums) -> str:
    return hashlib.sha256(header + data_of(checksums)).hexdigest()


def _blocks(size: int) -> int:
    return -(-size // BLOCK)


@dataclass(frozen=True)
class BlockFile:
    """A file whose header and checksums are as they were written; `checksums`: those of each array."""

    file: ArrayFile
    checksums: Mapping[str, Checksums]
    beside: ThreadPoolExecutor

    def shape(self, name: str) -> tuple[int, ...]:
        return self.file.places[name][1]

    def read(self, name: str, part: Region | None = None) -> Array:
        """Return an array, or the part at a region of its first two axes; raises `Damaged`, ValueError, and OSError."""
        dtype, shape, _ = self.file.places[name]
        if part is None:
            (data,) = self._pieces(name, [(0, self.file.size(name))])
            return data.view(dtype).reshape(shape)
        found = np.empty((part.size.rows, part.size.columns, *shape[2:]), dtype)
        filled, into = 0, data_of(found)
        for data in self._pieces(name, _ranges(part, shape, dtype.itemsize)):
            into[filled : filled + len(data)] = data.data
            filled += len(data)
        return found

    def _pieces(self, name: str, ranges: Sequence[Range]) -> Iterator[NDArray[np.uint8]]:
        """Yield ascending ranges of an array's bytes; no block is read twice."""
        begin, size = self.file.places[name][2], self.file.size(name)
        before, data = 0, np.empty(0, np.uint8)
        for start, stop in ranges:
            low, high = start // BLOCK * BLOCK, min(_blocks(stop) * BLOCK, size)
            kept = data[low - before : high - before]
            data = np.empty(high - low, np.uint8)
            data[: len(kept)] = kept
            fresh = low + len(kept)
            self._read(name, begin + fresh, data[len(kept) :], self.checksums[name][fresh // BLOCK :])
            before = low
            yield data[start - low : stop - low]

    def _read(self, name: str, begin: int, into: NDArray[np.uint8], checksums: Checksums) -> None:
        """Read whole blocks, and compare those that were read while the next ones are read."""
        self.file.file.seek(begin)
        comparing: list[Future[bool]] = []
        for first in range(0, _blocks(len(into)), AT_ONCE):
            some = into[first * BLOCK : (first + AT_ONCE) * BLOCK]
            self.file.fill(name, some.data)
            comparing.append(self.beside.submit(_agree, some.data, checksums[first:]))
        if not all(future.result() for future in comparing):
            raise Damaged(f"the checksum of a part of '{name}' does not match")


def _agree(data: memoryview, checksums: Checksums) -> bool:
    found = _checksums(data)
    return found == list(map(int, checksums[: len(found)]))


def _ranges(part: Region, shape: tuple[int, ...], value: int) -> list[Range]:
    """Return where a part lies in the bytes of an array, whose values have `value` each; raises ValueError."""
    rows, columns = shape[:2]
    position = value * prod(shape[2:])
    if part.rows.start < 0 or part.columns.start < 0 or part.rows.stop > rows or part.columns.stop > columns:
        raise ValueError(f"{part} is not within {rows} rows and {columns} columns")
    if part.columns.length == columns:
        return [(part.rows.start * columns * position, part.rows.stop * columns * position)]
    firsts = [
        (row * columns + part.columns.start) * position for row in range(part.rows.start, part.rows.stop)
    ]
    return [(first, first + part.columns.length * position) for first in firsts]


@contextmanager
def blocks_of(file: ArrayFile, digest: str) -> Iterator[BlockFile]:
    """Give the blocks of a file whose digest begins as given; raises `Damaged` if it has another one, and OSError."""
    checksums = file.read(CHECKSUMS)
    if not _digest(file.header, checksums).startswith(digest):
        raise Damaged("its digest does not match")
    names = [name for name in file.places if name != CHECKSUMS]
    ends = np.cumsum([_blocks(file.size(name)) for name in names])
    with ThreadPoolExecutor(1) as beside:
        yield BlockFile(file, dict(zip(names, np.split(checksums, ends), strict=False)), beside)
