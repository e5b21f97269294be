"""The inventory of a run's images, in their order: name, size, label and modification time of each.

    run.json          digest   of names, sizes and labels: where it is the same, the lists are
                      times    a digest of the times; a copy of the images has others
    inventory.gz      name, size, label and time of every image, to say which one differs

Fields end with a zero byte, which no name of a file contains.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.files import written_aside

FILE = "inventory.gz"
_CHUNK = 10_000
"""Images that are digested, written or read at once."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored image: size in bytes, class (-1: none), modification time (nanoseconds, 0: unknown)."""

    name: str
    size: int
    label: int
    time: int


@dataclass(frozen=True)
class Inventory:
    """All images of a run in their order; `stats` are size and time of each."""

    names: Sequence[str]
    stats: Sequence[tuple[int, int]]
    labels: NDArray[np.int32] | None = None

    def __iter__(self) -> Iterator[Stored]:
        labels: Iterable[int] = [-1] * len(self.names) if self.labels is None else self.labels.tolist()
        for name, (size, time), label in zip(self.names, self.stats, labels, strict=True):
            yield Stored(name, size, label, time)

    @cached_property
    def digest(self) -> str:
        """A digest of names, sizes and labels."""
        return _digest(f"{stored.name}\0{stored.size}\0{stored.label}\0" for stored in self)

    @cached_property
    def times(self) -> str:
        """A digest of the times of the files."""
        return _digest(f"{time}\0" for _, time in self.stats)

    def write(self, folder: Path) -> None:
        """Write the list into a run's directory; raises OSError."""
        lines = (f"{s.name}\0{s.size}\0{s.label}\0{s.time}\0" for s in self)
        with (
            written_aside(folder / FILE) as file,
            gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed,
        ):
            for chunk in _chunks(lines):
                packed.write(chunk)

    def difference(self, was: Iterable[Stored]) -> str | None:
        """Return a description of the first changed image; None if none changed."""
        before = iter(was)
        for number, (now, then) in enumerate(zip_longest(self, before), 1):
            if now is None or then is None or (now.name, now.size) != (then.name, then.size):
                return self._differing(number, now, then, before)
            if now.label != then.label:
                return f"'{now.name}' has another label than it had"
        return None

    def _differing(self, number: int, now: Stored | None, then: Stored | None, rest: Iterable[Stored]) -> str:
        if now is not None and then is not None and now.name == then.name:
            return f"'{now.name}' has {now.size:,} bytes, and had {then.size:,}"
        if then is not None and then.name not in self.names:
            return f"'{then.name}', image {number:,} of the run, is missing"
        if now is not None and not any(other.name == now.name for other in rest):
            return f"'{now.name}' was not among them"
        named = now or then
        assert named is not None, "zip_longest: one of the two is there"
        return f"from '{named.name}' on they have another order"


def read_inventory(folder: Path) -> Iterator[Stored]:
    """Yield the images of a list that was written into a run's directory; raises OSError and ValueError."""
    with gzip.open(folder / FILE, "rb") as file:
        fields = _fields(file)
        for name in fields:
            size, label, time = (int(field) for field in islice(fields, 3))
            yield Stored(name.decode("utf-8", "surrogateescape"), size, label, time)


def _fields(file: gzip.GzipFile) -> Iterator[bytes]:
    rest = b""
    while block := file.read(2**20):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
    if rest:
        raise ValueError("it ends within an image")


def _digest(lines: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for chunk in _chunks(lines):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(lines: Iterable[str]) -> Iterator[bytes]:
    lines = iter(lines)
    while some := "".join(islice(lines, _CHUNK)):
        yield some.encode("utf-8", "surrogateescape")
