"""The members of a zip archive: each is read by the place of its entry in the archive's directory.

data of all members | directory: an entry for each, with name, sizes, checksum and place of the data | end
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

from .reads import Reads

_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<26x2H")
_WIDE, _ZIP64 = 0xFFFFFFFF, 1


def entries_of(archive: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """Yield the members of an open archive, in the order of its directory, with the places of their entries."""
    file, at = archive.fp, archive.start_dir
    assert file is not None, "the caller has opened it"
    for info in archive.infolist():
        yield info, at
        file.seek(at)
        fields = _ENTRY.unpack(file.read(_ENTRY.size))
        at += _ENTRY.size + sum(fields[12:15])


def shift_of(archive: zipfile.ZipFile) -> int:
    """Return the bytes before the archive in its file, such as a program that unpacks it."""
    assert archive.fp is not None, "the caller has opened it"
    for info, at in entries_of(archive):
        archive.fp.seek(at)
        entry = archive.fp.read(_ENTRY.size)
        return info.header_offset - _Entry(entry + archive.fp.read(sum(_ENTRY.unpack(entry)[12:15]))).local
    return 0


class _Entry:
    """An entry of the directory; sizes and places above 4 GB are in its extra field."""

    def __init__(self, data: bytes) -> None:
        fields = _ENTRY.unpack_from(data)
        self.method, self.checksum = fields[6], fields[9]
        self.name = data[_ENTRY.size : _ENTRY.size + fields[12]]
        wide = iter(_wide(data[_ENTRY.size + fields[12] :][: fields[13]]))
        self.size, self.packed, self.local = (
            next(wide) if value == _WIDE else value for value in (fields[11], fields[10], fields[18])
        )


def _wide(extra: bytes) -> tuple[int, ...]:
    """Return the numbers of 64 bits in an extra field."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == _ZIP64:
            return struct.unpack_from(f"<{size // 8}Q", extra, 4)
        extra = extra[4 + size :]
    return ()


def read_member(reads: Reads, path: Path, at: int, shift: int, check_size: Callable[..., None]) -> bytes:
    """Return the bytes of the member whose entry is at `at`; `check_size` is called with what it says of its size.

    Raises OSError, and whatever `zipfile` raises for a damaged one.
    """
    head = reads.part(path, at, _ENTRY.size)
    fields = _ENTRY.unpack(head)
    entry = _Entry(head + reads.part(path, at + _ENTRY.size, fields[12] + fields[13]))
    check_size(entry.size, entry.packed)
    local = reads.part(path, entry.local + shift, _LOCAL.size)
    if local[:4] != b"PK\3\4":
        raise zipfile.BadZipFile("Bad magic number for file header")
    data = entry.local + shift + _LOCAL.size + sum(_LOCAL.unpack(local))
    info = zipfile.ZipInfo(entry.name.decode("utf-8", "replace"))
    info.compress_type, info.CRC = entry.method, entry.checksum
    info.file_size, info.compress_size = entry.size, entry.packed
    with zipfile.ZipExtFile(BytesIO(reads.part(path, data, entry.packed)), "r", info) as file:
        return file.read()
