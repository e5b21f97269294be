"""The members of a tar archive and where they lie, found without tarfile's cost of 20 us for each.

    block 0    header   name, size, kind, checksum
    block 1..  data     padded to whole blocks of 512 bytes; then the next header

The usual headers are read here: files with names in the header itself, before it (GNU), or in records (pax). All others,
and damage, are left to `tarfile`, from the header at which they begin; both find the same (tests/runtime/test_tar.py).
Small members are read through, as a disk likes it; large ones are skipped.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lnet.runtime.process.counted import reported

BLOCK = 512
Pieces = tuple[tuple[int, int, int], ...]
"""Extents of a sparse file: `(offset in the file, offset in the archive, bytes)`, with zeros between them."""

_WINDOW, _PEEK = 2**20, 2**14
_SMALL = 2**15
"""Members up to this size are read, larger ones are skipped."""
_NO_EFFECT = re.compile(
    rb"[amc]time|[ug]id|[ug]name|comment|LIBARCHIVE\.creationtime|SCHILY\.(dev|ino|nlink)|(SCHILY|LIBARCHIVE)\.xattr\..*"
)
"""Records of a pax header that change neither name nor data."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive, or a link to `target`: `hard` or by name."""

    name: str
    size: int
    offset: int
    pieces: Pieces = ()
    target: str | None = None
    hard: bool = False


class Scan:
    """The members of an archive in their order; known after the last one: where they `end`, how many are `links`."""

    def __init__(self, path: Path) -> None:
        self.path, self.end, self.links = path, 0, 0

    def __iter__(self) -> Iterator[Member]:
        """Yield all members but folders and devices; raises OSError, and whatever `tarfile` raises for damage."""
        with open(self.path, "rb", buffering=0) as file, tarfile.open(fileobj=file, mode="r:") as slow:
            total = os.fstat(file.fileno()).st_size
            at, window = 0, _Window(file.fileno())
            while True:
                found, at = window.members(at) if not slow.pax_headers else ([], at)
                yield from found
                reported(f"bytes of {self.path.name}", at, total)
                if found:
                    continue
                slow.firstmember = None  # type: ignore[attr-defined]
                slow.offset, slow.members = at, []  # type: ignore[attr-defined]
                file.seek(0)
                info = slow.next()
                if info is None:
                    self.end = at
                    return
                at = slow.offset
                member = _as_member(info)
                if member is not None:
                    self.links += member.target is not None
                    yield member


def _as_member(info: tarfile.TarInfo) -> Member | None:
    if info.isfile():
        return Member(info.name, info.size, info.offset_data, _pieces(info))
    if info.islnk() or info.issym():
        return Member(info.name, -1, 0, target=info.linkname, hard=info.islnk())
    return None


def _pieces(info: tarfile.TarInfo) -> Pieces:
    if not info.issparse():
        return ()
    offset, pieces = info.offset_data, []
    holes: list[tuple[int, int]] = info.sparse  # type: ignore[assignment]  # whatever typeshed says
    for start, size in holes:
        pieces.append((start, offset, size))
        offset += size
    return tuple(pieces)


class _Window:
    """A part of an archive in memory, and the usual members in it."""

    def __init__(self, file: int) -> None:
        self.file, self.size = file, _WINDOW

    def members(self, start: int) -> tuple[list[Member], int]:
        """Return the usual members from the header at `start` on, none if it is unusual, and where the next header is."""
        data = os.pread(self.file, self.size, start)
        found: list[Member] = []
        headers: list[int] = []  # of all members
        ends: list[int] = []  # where the headers of each member end in that list
        at = 0
        while (usual := _usual(data, at, headers)) is not None:
            name, size, at = usual
            found.append(Member(name, size, start + at))
            ends.append(len(headers))
            at += -(-size // BLOCK) * BLOCK
            if at >= len(data):
                break
        whole = _whole(data, headers)
        count = sum(1 for end in ends if end <= whole)
        if count < len(found):
            at = headers[ends[count - 1]] if count else 0
        del found[count:]
        self.size = _WINDOW if not found or at / len(found) <= _SMALL else _PEEK
        return found, start + at


def _usual(data: bytes, at: int, headers: list[int]) -> tuple[str, int, int] | None:
    """Return name, size and the place of the data of the usual member whose header is at `at`.

    Adds the places of its headers to `headers`. None if it is unusual, or not all of it is here.
    """
    name: str | None = None
    mine = [at]
    kind = data[at + 156 : at + 157]
    if kind in (b"L", b"x"):
        size = _size(data, at)
        if size is None or size > _SMALL:
            return None
        body = data[at + BLOCK : at + BLOCK + size]
        known, name = (True, _text(body.partition(b"\0")[0])) if kind == b"L" else _path(body)
        at += BLOCK + -(-size // BLOCK) * BLOCK
        mine.append(at)
        kind = data[at + 156 : at + 157]
        if not known:
            return None
    if at + BLOCK > len(data) or kind not in (b"0", b"\0"):
        return None
    own = _name(data, at)
    size = _size(data, at)
    if size is None or not own or (kind == b"\0" and own.endswith("/")):
        return None
    headers.extend(mine)
    return name or own, size, at + BLOCK


def _size(data: bytes, at: int) -> int | None:
    try:
        size = int(data[at + 124 : at + 136].rstrip(b" \0"), 8)
    except ValueError:
        return None
    return size if size >= 0 else None


def _name(data: bytes, at: int) -> str:
    name = data[at : at + 100].partition(b"\0")[0]
    if data[at + 345]:
        name = data[at + 345 : at + 500].partition(b"\0")[0] + b"/" + name
    return _text(name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _path(records: bytes) -> tuple[bool, str | None]:
    """Return whether nothing but a name follows from the records of a pax header, and that name."""
    name = None
    while records:
        length, _, _ = records.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(records):
            return False, None
        key, equals, value = records[len(length) + 1 : int(length) - 1].partition(b"=")
        records = records[int(length) :]
        if key == b"path" and equals:
            name = _text(value).rstrip("/")
        elif not equals or not _NO_EFFECT.fullmatch(key):
            return False, None
    return True, name


def _whole(data: bytes, headers: list[int]) -> int:
    """Return how many headers, from the first on, have the checksum that they say."""
    if not headers:
        return 0
    rows = np.frombuffer(data, np.uint8)[np.asarray(headers)[:, None] + np.arange(BLOCK)]
    sums = rows.sum(axis=1, dtype=np.int64) - rows[:, 148:156].sum(axis=1, dtype=np.int64) + 8 * 32
    for number, (row, found) in enumerate(zip(rows[:, 148:156], sums.tolist(), strict=True)):
        try:
            said = int(row.tobytes().partition(b"\0")[0].strip() or b"0", 8)
        except ValueError:
            return number
        if said != found:
            return number
    return len(headers)
