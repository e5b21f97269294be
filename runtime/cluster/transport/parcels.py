"""Large arrays, sent in parts: each part is acknowledged, and the receiver puts them together.

    array    aaaaaaaaaaaaaaaaaaaaaaaaaaa
    parts    |-- 8 MiB --|-- 8 MiB --|-|   and then the message, with a stub in the array's place: its parcel, shape, type

So a slow connection is told from a dead one, however long a message takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from lnet.runtime.cluster import clock
from lnet.runtime.cluster.protocol.wire import Malformed

PART = 8 * 2**20
"""Bytes that are sent and acknowledged at once."""
INLINE = 64 * 2**10
"""Bytes of an array that goes with its message, however large that is."""
KEPT = 120.0
"""Seconds without another part, after which an array is thrown away."""

Array = np.ndarray[Any, Any]
DTYPES = ("<f4", "<u2", "<u4")
"""Types of what a run sends: numbers, numbers that are rounded, and records of images."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """An array on its way; `id` is the sender's."""

    id: int
    array: Array

    @property
    def stub(self) -> dict[str, Any]:
        return {"parcel": self.id, "shape": list(self.array.shape), "kind": self.array.dtype.str}

    def parts(self) -> Iterator[tuple[tuple[int, int, int], Array]]:
        """Yield the number of the parcel, its bytes in all, where a part begins; and the part."""
        stream = np.ascontiguousarray(self.array).reshape(-1).view(np.uint8)
        for begin in range(0, len(stream), PART):
            yield (self.id, len(stream), begin), stream[begin : begin + PART]


@dataclass(slots=True)
class _Arriving:
    buffer: Array
    last: float
    come: int = 0


@dataclass
class Parcels:
    """Puts arrays together. Raises `Malformed` for what does not fit."""

    arriving: dict[tuple[str, int], _Arriving] = field(default_factory=dict)

    def put(self, sender: str, numbers: Any, parts: list[Any], most: int) -> None:
        """Take a part of an array of at most so many bytes; they come in order."""
        if not isinstance(numbers, list | tuple) or [type(number) for number in numbers] != [int] * 3:
            raise Malformed("expected the numbers of a part")
        id, total, begin = numbers
        if not 0 < total <= most:
            raise Malformed(f"{total:,} bytes, where {most:,} are the most")
        now = clock.now()
        self.arriving = {key: one for key, one in self.arriving.items() if now - one.last < KEPT}
        if (sender, id) not in self.arriving:
            self.arriving[sender, id] = _Arriving(np.empty(total, np.uint8), now)
        found = self.arriving[sender, id]
        part = parts[0] if len(parts) == 1 and _is_bytes(parts[0]) else np.empty(0, np.uint8)
        if not 0 < len(part) <= len(found.buffer) - begin or begin != found.come:
            raise Malformed("a part that does not go on with its array")
        found.buffer[begin : begin + len(part)] = part
        found.come, found.last = begin + len(part), now

    def opened(self, sender: str, arrays: Any) -> Any:
        """Return arrays by name, or a list of them, with each stub replaced by its array."""
        if isinstance(arrays, dict):
            return {name: self._open(sender, value) for name, value in arrays.items()}
        return [self._open(sender, value) for value in arrays] if isinstance(arrays, list) else arrays

    def _open(self, sender: str, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        id, shape, kind = (value.get(name) for name in ("parcel", "shape", "kind"))
        if type(id) is not int or not isinstance(shape, list | tuple) or kind not in DTYPES:
            raise Malformed("expected the parcel, the shape and the type of an array")
        found = self.arriving.pop((sender, id), None)
        if any(type(size) is not int or size < 1 for size in shape):
            raise Malformed("expected the sizes of an array")
        size = prod(shape) * np.dtype(kind).itemsize
        if found is None or not found.come == len(found.buffer) == size:
            raise Malformed("an array of which parts are missing")
        found.buffer.flags.writeable = False
        return found.buffer.view(kind).reshape(shape)


def _is_bytes(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype == np.uint8 and part.ndim == 1
