"""An index: the list of a data set's images in a file, from which any of them is read without the others.

    lnet index 1
    block      up to 4,096 records of 36 bytes, then their names, end to end
               record: end of the name, source, label, place in the archive, bytes, modification time
    ...
    contents   JSON: what follows from all images, their sources, and the state of the files that they were found in
    trailer    where the contents begin, and a digest of them

The file's name contains a digest of all its bytes: another list of images is another file, and none is ever replaced.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from lnet.dsl.diagnostics import refused

from .inventory import Digests, Stored
from .listing import cannot_be_read
from .members import Member, Members, Pieces
from .reads import Reads

MAGIC = b"lnet index 1\n"
SUFFIX = ".index"
BLOCK = 4096
"""The most images of a block."""
_RECORD = np.dtype(
    [
        ("name", "<u4"),
        ("source", "<u4"),
        ("label", "<i4"),
        ("offset", "<u8"),
        ("size", "<i8"),
        ("time", "<i8"),
    ]
)
_ONE = struct.Struct("<IIiQqq")
_TRAILER = struct.Struct("<Q16s")


class Broken(Exception):
    """A file that is no index, or not a whole one; the message says why."""


class Watched(NamedTuple):
    """A file or folder in which images were found: its path, modification time and size (-1: a folder)."""

    path: str
    time: int
    size: int


class Source(NamedTuple):
    """What images are read from: an archive (`tar`, or `zip` with `shift` bytes before it), or `files`."""

    kind: str
    path: str
    shift: int = 0


@dataclass(frozen=True)
class Contents:
    """What an index says of all its images.

    `request`: what was asked for (a path, rules, labels, names to leave out); `labels`: all labels in the order in which
    they appear, with the first image of each; None where some image has none. `ignored`, `kinds`, `excluded` and
    `unmatched` as in `Catalog`; `pieces` of sparse members by image; `blocks`: the first image of each, and where it begins.
    """

    request: dict[str, Any]
    count: int
    digest: str
    times: str
    labels: list[tuple[str, str]] | None
    kinds: dict[str, int]
    ignored: dict[str, int]
    excluded: int
    unmatched: list[str]
    sources: list[Source]
    watched: list[Watched]
    pieces: dict[int, Pieces]
    blocks: list[tuple[int, int]]


class Writer:
    """Writes an index into a file, block by block."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self._list = file, blake2b(digest_size=16), Digests()
        self._blocks: list[tuple[int, int]] = []
        self._labels: dict[str, tuple[int, str]] = {}
        self._pieces: dict[int, Pieces] = {}
        self._unlabelled = False
        self._at = self.count = 0
        self._put(MAGIC)

    def add(
        self,
        members: Members,
        labels: Sequence[str | None],
        times: Sequence[int],
        source: int,
        shown: Callable[[str], str],
    ) -> None:
        """Add images of a source, by its number, as a block; `shown`: from their names to those in messages."""
        images = list(zip(members.names, members.sizes, labels, times, strict=True))
        if not images:
            return
        self._list.add(images)
        names = [name.encode("utf-8", "surrogateescape") for name in members.names]
        rows = np.zeros(len(images), _RECORD)
        rows["name"] = np.cumsum([len(name) for name in names])
        rows["source"], rows["time"] = source, times
        rows["offset"], rows["size"] = members.offsets, members.sizes
        rows["label"] = [self._number(label, name, shown) for name, _, label, _ in images]
        self._pieces |= {self.count + at: pieces for at, pieces in members.pieces.items()}
        self._blocks.append((self.count, self._at))
        self._put(rows.tobytes())
        self._put(b"".join(names))
        self.count += len(images)

    def _number(self, label: str | None, name: str, shown: Callable[[str], str]) -> int:
        if label is None:
            self._unlabelled = True
            return -1
        if label not in self._labels:
            self._labels[label] = len(self._labels), shown(name)
        return self._labels[label][0]

    def finish(self, **rest: Any) -> str:
        """Write what is known of all images and return the digest of the file; `rest`: fields of `Contents`."""
        labels = None if self._unlabelled else [(text, first) for text, (_, first) in self._labels.items()]
        contents = Contents(
            count=self.count,
            digest=self._list.images,
            times=self._list.times,
            labels=labels,
            pieces=self._pieces,
            blocks=self._blocks,
            **rest,
        )
        start, data = self._at, json.dumps(vars(contents)).encode()
        self._put(data)
        self._put(_TRAILER.pack(start, blake2b(data, digest_size=16).digest()))
        return self._digest.hexdigest()

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._at += len(data)


class Record(NamedTuple):
    """An image in an index."""

    name: str
    source: int
    label: int
    offset: int
    size: int
    time: int


@dataclass
class Index:
    """An index that is open; thread-safe. Raises `LnetError` where it cannot be read."""

    path: Path
    contents: Contents
    reads: Reads = field(repr=False)

    def __len__(self) -> int:
        return self.contents.count

    def __getitem__(self, place: int) -> Record:
        if not 0 <= place < len(self):
            raise IndexError(place)
        block = bisect_right(self._firsts, place) - 1
        first, start, count = self._block(block)
        at = place - first
        before = min(at, 1)
        data = self._part(start + (at - before) * _ONE.size, (1 + before) * _ONE.size)
        begin = _ONE.unpack_from(data)[0] if before else 0
        end, *rest = _ONE.unpack_from(data, before * _ONE.size)
        name = self._part(start + count * _ONE.size + begin, end - begin)
        return Record(name.decode("utf-8", "surrogateescape"), *rest)

    @cached_property
    def _firsts(self) -> list[int]:
        return [first for first, _ in self.contents.blocks]

    def _block(self, number: int) -> tuple[int, int, int]:
        """Return the first image of a block, where it begins, and how many images it has."""
        first, start = self.contents.blocks[number]
        after = self._firsts[number + 1] if number + 1 < len(self._firsts) else len(self)
        return first, start, after - first

    def member(self, place: int, record: Record) -> Member:
        """Return where an image lies in its archive."""
        return Member(record.name, record.size, record.offset, self.contents.pieces.get(place, ()))

    def __iter__(self) -> Iterator[Record]:
        for rows, names in self._read_blocks():
            begin = 0
            for end, *rest in rows.tolist():
                yield Record(names[begin:end].decode("utf-8", "surrogateescape"), *rest)
                begin = end

    def labels(self) -> NDArray[np.int32]:
        """Return the number of each image's label, -1 for none."""
        return np.concatenate([rows["label"] for rows, _ in self._read_blocks()]).astype(np.int32)

    def stored(self) -> Iterator[Stored]:
        """Yield all images."""
        texts = [text for text, _ in self.contents.labels or ()]
        for record in self:
            label = texts[record.label] if texts and record.label >= 0 else None
            yield Stored(record.name, record.size, label, record.time)

    def _read_blocks(self) -> Iterator[tuple[NDArray[Any], bytes]]:
        for number in range(len(self.contents.blocks)):
            _, start, count = self._block(number)
            rows = np.frombuffer(self._part(start, count * _ONE.size), _RECORD)
            length = int(rows["name"][-1])
            yield rows, self._part(start + count * _ONE.size, length)

    def _part(self, offset: int, size: int) -> bytes:
        try:
            data = self.reads.part(self.path, offset, size)
        except OSError as error:
            raise cannot_be_read(self.path, error) from error
        if len(data) < size:
            raise refused("E703", f"the index '{self.path}' ends early: it was cut off")
        return data


class Names(Sequence[str]):
    """The names of the images of an index, read as they are asked for."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        return self._index[place + len(self) if place < 0 else place].name

    def __iter__(self) -> Iterator[str]:
        return (record.name for record in self._index)


def read_index(path: Path, reads: Reads) -> Index:
    """Open an index; raises `Broken` for one that is not whole, and OSError."""
    size = path.stat().st_size
    if reads.part(path, 0, len(MAGIC)) != MAGIC:
        raise Broken("it does not begin as an index does")
    trailer = reads.part(path, max(0, size - _TRAILER.size), _TRAILER.size)
    try:
        start, digest = _TRAILER.unpack(trailer)
        data = reads.part(path, start, max(0, size - _TRAILER.size - start))
        if blake2b(data, digest_size=16).digest() != digest:
            raise Broken("its end is missing or damaged")
        found = json.loads(data)
        found["sources"] = [Source(*source) for source in found["sources"]]
        found["watched"] = [Watched(*each) for each in found["watched"]]
        found["blocks"] = [(first, start) for first, start in found["blocks"]]
        found["labels"] = found["labels"] and [(text, first) for text, first in found["labels"]]
        found["pieces"] = {
            int(place): tuple((a, b, c) for a, b, c in pieces) for place, pieces in found["pieces"].items()
        }
        return Index(path, Contents(**found), reads)
    except (struct.error, ValueError, TypeError, KeyError, OverflowError) as error:
        raise Broken(f"it cannot be read: {error!r}") from error
