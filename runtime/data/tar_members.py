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
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lnet.runtime.process.counted import reported

from .members import Member, Members, Pieces

BLOCK = 512
_WINDOW, _PEEK = 2**20, 2**14
_SMALL = 2**15
"""Members up to this size are read, larger ones are skipped."""
_NO_EFFECT = re.compile(
    rb"[amc]time|[ug]id|[ug]name|comment|LIBARCHIVE\.creationtime|SCHILY\.(dev|ino|nlink)|(SCHILY|LIBARCHIVE)\.xattr\..*"
)
"""Records of a pax header that change neither name nor data."""


class Link(NamedTuple):
    """A link to `target`, a path in the archive if it is `hard`; `after`: the number of files before it."""

    name: str
    target: str
    hard: bool
    after: int


@dataclass(frozen=True)
class Scan:
    """The files and links of an archive, in their order, and the byte at which the last one ends."""

    files: Members
    links: list[Link]
    end: int


def scan(path: Path) -> Scan:
    """Find all files and links in an archive; raises OSError, and whatever `tarfile` raises for damage."""
    files, links, at = Members(), list[Link](), 0
    with open(path, "rb", buffering=0) as file, tarfile.open(fileobj=file, mode="r:") as slow:
        total, window = os.fstat(file.fileno()).st_size, _Window(file.fileno())
        while True:
            count = len(files)
            if not slow.pax_headers:
                at = window.add(at, files)
            reported(f"bytes of {path.name}", at, total)
            if len(files) > count:
                continue
            info = _slowly(slow, at)
            if info is None:
                reported(f"bytes of {path.name}", total, total)
                return Scan(files, links, at)
            at = slow.offset
            if info.isfile():
                files.append(Member(info.name, info.size, info.offset_data, _pieces(info)))
            elif info.islnk() or info.issym():
                links.append(Link(info.name, info.linkname, info.islnk(), len(files)))


def _slowly(archive: tarfile.TarFile, at: int) -> tarfile.TarInfo | None:
    """Return the member whose first header is at `at`; None if none is there."""
    assert archive.fileobj is not None, "it is open"
    archive.firstmember, archive.offset, archive.members = None, at, []  # type: ignore[attr-defined]
    archive.fileobj.seek(0)
    return archive.next()


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

    def add(self, start: int, files: Members) -> int:
        """Add the usual members from the header at `start` on, none if it is unusual; return where the next header is."""
        data = os.pread(self.file, self.size, start)
        usual = _Usual(data)
        names = usual.names()
        count, at = len(names), usual.firsts[len(names)]
        files.extend(names, usual.sizes[:count], [start + head + BLOCK for head in usual.heads[:count]])
        self.size = _WINDOW if not count or at / count <= _SMALL else _PEEK
        return start + at


class _Usual:
    """The usual members at the beginning of a part of an archive.

    `heads`: where the header of each is, `firsts`: where what belongs to it begins, which may be a name before it, and at
    last where the next one does; `named`: names before headers, by the number of the member.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.heads: list[int] = []
        self.firsts = [0]
        self.sizes: list[int] = []
        self.named: dict[int, str | None] = {}
        at, last = 0, len(data) - BLOCK
        while at <= last:
            kind = data[at + 156]
            if kind in _BEFORE:
                before = _name_before(data, at)
                if before is None:
                    return
                self.named[len(self.heads)], at = before
                kind = data[at + 156] if at <= last else -1
            if kind not in _FILES:
                return
            size = _size(data, at)
            if size is None:
                return
            self.heads.append(at)
            self.sizes.append(size)
            at += BLOCK + -(-size // BLOCK) * BLOCK
            self.firsts.append(at)

    def names(self) -> list[str]:
        """Return the names of the members whose headers are as they were written; the first other one ends them."""
        data, names = self.data, []
        for head in self.heads[: _whole(data, self.heads)]:
            name = data[head : head + 100].partition(b"\0")[0]
            if data[head + 345]:
                name = data[head + 345 : head + 500].partition(b"\0")[0] + b"/" + name
            if not name or name.endswith(b"/"):
                break
            names.append(name.decode("utf-8", "surrogateescape"))
        named = [number for number in self.named if number < len(names)]
        whole = _whole(data, [self.firsts[number] for number in named])
        for number in named[:whole]:
            names[number] = self.named[number] or names[number]
        return names if whole == len(named) else names[: named[whole]]


_BEFORE, _FILES = b"Lx", b"0\0"
"""Kinds of headers: of a name or of records before a file's, and of files."""


def _size(data: bytes, at: int) -> int | None:
    try:
        size = int(data[at + 124 : at + 136].rstrip(b" \0"), 8)
    except ValueError:
        return None
    return size if size >= 0 else None


def _name_before(data: bytes, at: int) -> tuple[str | None, int] | None:
    """Return the name in what stands before a header, if there is one, and where the header is.

    None if more than a name follows from it, or if not all of it is here.
    """
    size = _size(data, at)
    if size is None or size > _SMALL or at + BLOCK + size > len(data):
        return None
    body, after = data[at + BLOCK : at + BLOCK + size], at + BLOCK + -(-size // BLOCK) * BLOCK
    if data[at + 156 : at + 157] == b"L":
        return body.partition(b"\0")[0].decode("utf-8", "surrogateescape"), after
    name = None
    while body:
        length = body.partition(b" ")[0]
        if not length.isdigit() or not 0 < int(length) <= len(body):
            return None
        key, equals, value = body[len(length) + 1 : int(length) - 1].partition(b"=")
        body = body[int(length) :]
        if key == b"path" and equals:
            name = value.decode("utf-8", "surrogateescape").rstrip("/")
        elif not equals or not _NO_EFFECT.fullmatch(key):
            return None
    return name, after


def _whole(data: bytes, heads: list[int]) -> int:
    """Return how many headers, from the first on, have the checksum that they say: six octal digits."""
    if not heads:
        return 0
    rows = np.frombuffer(data, np.uint8)[np.asarray(heads)[:, None] + np.arange(BLOCK)]
    said = rows[:, 148:154].astype(np.int64) - ord("0")
    digits = ((said >= 0) & (said < 8)).all(axis=1) & np.isin(rows[:, 154], (0, 32))
    rows[:, 148:156] = ord(" ")
    right = digits & (said @ _POWERS == rows.sum(axis=1, dtype=np.int64))
    return len(heads) if right.all() else int(right.argmin())


_POWERS = 8 ** np.arange(5, -1, -1)
