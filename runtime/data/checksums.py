"""64-bit checksums of the images, from their first reading.

Names and sizes do not show that an image was replaced by another of the same size, and times of files change when
they are copied. Every image is read in the first pass over the data anyway, and its checksum is recorded: it must be
the same in later passes and in the resumed run.

    checksums.bin     number of the image, checksum: two unsigned integers of 64 bits for each image that was read
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .order import COMPUTED, order_for

FILE = "checksums.bin"
UNREAD, UNREADABLE = 0, 1
"""In place of a checksum: of an image that was not read yet, and of one that could not be."""

Read = tuple[int, int]
"""The number of an image, and its checksum."""


def checksum(data: Any) -> int:
    """Return the checksum of bytes, or of an array's."""
    found = int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
    return max(found, UNREADABLE + 1)


def sum_of(checksums: NDArray[np.uint64], labels: NDArray[np.int32] | None) -> int:
    """Return a 64-bit digest of a batch: its images in order, and their labels."""
    return checksum(checksums.tobytes() + (b"" if labels is None else labels.tobytes()))


class Checksums:
    """Checksums of a data set, by the number of the image; thread-safe."""

    def __init__(self, count: int) -> None:
        self._known = _zeros(count)
        self._fresh: list[Read] = []
        self._lock = threading.Lock()

    def __getitem__(self, place: int) -> int:
        return int(self._known[place])

    def at(self, places: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the checksums of some images."""
        return self._known[places]

    def agrees(self, place: int, found: int, elsewhere: bool = False) -> bool:
        """Record an image's checksum; return whether it equals the one recorded before, if any.

        `elsewhere`: another process has read the image, and reports it.
        """
        with self._lock:
            known = self[place]
            if known == UNREAD:
                self._known[place] = found
                if not elsewhere:
                    self._fresh.append((place, found))
            return known in (UNREAD, found)

    def know(self, read: Iterable[Read]) -> Read | None:
        """Merge checksums of other processes; return the first that differs."""
        with self._lock:
            for place, found in read:
                known = self[place]
                if known not in (UNREAD, found):
                    return place, found
                if known == UNREAD:
                    self._known[place] = found
                    self._fresh.append((place, found))
        return None

    def take_fresh(self) -> list[Read]:
        """Return the checksums recorded since the last call."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
        return fresh

    def recall(self, folder: Path) -> list[int]:
        """Load the checksums of a run's directory; return the images that were read before and have one; raises OSError."""
        with self._lock:
            mine, read = {place for place, _ in self._fresh}, set[int]()
            for pairs in _recorded(folder):
                pairs = pairs[pairs[:, 0] < len(self._known)]
                places = pairs[:, 0].astype(np.int64)
                self._known[places] = pairs[:, 1]
                read.update(mine.intersection(places.tolist()))
            self._fresh = [(place, found) for place, found in self._fresh if place not in read]
        return sorted(read)


def _zeros(count: int) -> NDArray[np.uint64]:
    """Return an array of zeros: a large one lies in a file without a name, so that no memory grows with the images."""
    if order_for(count) == COMPUTED:
        with suppress(OSError), TemporaryFile() as file:  # no folder for it, or no room
            os.posix_fallocate(file.fileno(), 0, 8 * count)
            return np.memmap(file, np.uint64, "r+", shape=(count,))
    return np.zeros(count, np.uint64)


def _recorded(folder: Path) -> Iterator[NDArray[np.uint64]]:
    """Yield the checksums in a run's directory, `[n, 2]`, some at a time; raises OSError."""
    with suppress(FileNotFoundError), open(folder / FILE, "rb") as file:
        while len(data := file.read(2**20)) >= 16:
            yield np.frombuffer(data, "<u8", 2 * (len(data) // 16)).reshape(-1, 2)


def keep(folder: Path, read: Iterable[Read]) -> None:
    """Add checksums to those in a run's directory; raises OSError."""
    data = np.array(list(read), "<u8").tobytes()
    if not data:
        return
    with open(folder / FILE, "ab") as file:
        file.truncate(file.tell() // 16 * 16)  # drops a record torn by a killed process
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
