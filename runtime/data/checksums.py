"""64-bit checksums of the images, from their first reading.

Names and sizes do not show that an image was replaced by another of the same size, and times of files change when
they are copied. Every image is read in the first pass over the data anyway, and its checksum is recorded: it must be
the same in later passes and in the resumed run.

    checksums.bin     number of the image, checksum: two unsigned integers of 64 bits for each image that was read
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        self._known = np.zeros(count, np.uint64)
        self._fresh: list[Read] = []
        self._lock = threading.Lock()

    def __getitem__(self, place: int) -> int:
        return int(self._known[place])

    def at(self, places: list[int]) -> NDArray[np.uint64]:
        """Return the checksums of some images."""
        return self._known[places]

    def agrees(self, place: int, found: int) -> bool:
        """Record an image's checksum; return whether it equals the one recorded before, if any."""
        with self._lock:
            known = self[place]
            if known == UNREAD:
                self._known[place] = found
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
        try:
            data = (folder / FILE).read_bytes()
        except FileNotFoundError:
            return []
        pairs = np.frombuffer(data, "<u8", 2 * (len(data) // 16)).reshape(-1, 2)
        pairs = pairs[pairs[:, 0] < len(self._known)]
        places = pairs[:, 0].astype(np.int64)
        with self._lock:
            read: list[int] = np.unique(places[self._known[places] != UNREAD]).tolist()
            self._known[places] = pairs[:, 1]
            self._fresh = [(place, found) for place, found in self._fresh if place not in read]
        return read


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
