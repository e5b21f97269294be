"""Archives of images, tar and zip, read without unpacking."""

from __future__ import annotations

import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import dirname, join, normpath
from typing import Protocol

import numpy as np

from lnet.dsl.diagnostics import LnetError, refused

from . import zip_members
from .beside import labels_beside
from .listing import Listing, cannot_be_read, stat_of, suffix_of
from .members import Member, Members
from .pixels import Corrupt, Loaded, load_image
from .reads import Reads
from .samples import Place
from .tar_members import BLOCK, Link, Scan, scan

_NOT_NORMAL = re.compile(r"//|/\.|(\A|\0)\.|/(\0|\Z)")
"""What a path has that differs from its normal form, in paths with zeros between them."""
_LINKS = 40
"""Longest chain of links that is followed."""


class Reader(Protocol):
    """Reads the files of an archive."""

    def read(self, member: Member) -> bytes:
        """Return the bytes of a file in the archive; raises `Corrupt`, and `LnetError` if the archive cannot be read."""


LARGEST = 2**30
"""No image has more bytes than this, packed or unpacked: an archive may say that a member has any number of them."""


@dataclass(frozen=True)
class Archive:
    """The images in an archive, sorted by name, with the labels beside them if requested.

    `size` in bytes and modification time (`changed`, nanoseconds) are the archive's.
    """

    reader: Reader
    members: Members
    channels: int
    size: int
    changed: int
    labels: list[str] | None
    ignored: Mapping[str, int]

    @property
    def names(self) -> list[str]:
        return self.members.names

    @property
    def stats(self) -> list[tuple[int, int]]:
        return [(size, self.changed) for size in self.members.sizes]

    def stored(self, numbers: Sequence[int]) -> tuple[Members, list[int]]:
        """Return the places of images in the archive, and their modification times, which are its own."""
        return self.members.some(numbers), [self.changed] * len(numbers)

    def __len__(self) -> int:
        return len(self.members.names)

    def __getitem__(self, index: int) -> Loaded:
        return load_image(self.reader.read(self.members[index]), self.channels)


def check_size(*sizes: int) -> None:
    """Raise `Corrupt` for a member that says it has more bytes than an image has."""
    if max(sizes) > LARGEST:
        raise Corrupt(f"it would have {max(sizes):,} bytes, and at most {LARGEST:,} are read")


def open_archive(place: Place) -> Archive:
    """Open an archive of images by its suffix; raises `LnetError`."""
    path, rules = place.path, place.rules
    size, changed = stat_of(path)
    reader: Reader = Tar(path, place.reads)
    if suffix_of(path.name) == ".tar":
        members = _tar_members(path, rules)
    else:
        members, reader = _zip_members(path, place.reads)
    images: list[int] = []
    others: dict[str, int] = {}
    for number, name in enumerate(members.names):
        if rules.is_image(name) and rules.shows(name):
            images.append(number)
        elif rules.shows(name):
            others[name] = number
    images.sort(key=members.names.__getitem__)
    ignored, found = Counter(map(suffix_of, others)), members.some(images)
    beside = labels_beside(
        found.names, others.__contains__, lambda name: reader.read(members[others[name]]), place.labels, path
    )
    if beside is not None:
        ignored -= Counter({beside.suffix: beside.files})
    labels = None if beside is None else beside.labels
    return Archive(reader, found, place.channels, size, changed, labels, ignored)


# --- tar -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tar:
    """Reads an uncompressed tar archive."""

    path: Path
    reads: Reads

    def read(self, member: Member) -> bytes:
        if member.size < 0:
            raise Corrupt("it is a link to a file that is not in the archive")
        check_size(member.size, *(size for _, _, size in member.pieces))
        if not member.pieces:
            return self._piece(member.offset, member.size)
        found = bytearray(member.size)
        for start, offset, size in member.pieces:
            found[start : start + size] = self._piece(offset, size)
        return bytes(found)

    def _piece(self, offset: int, size: int) -> bytes:
        try:
            data = self.reads.part(self.path, offset, size)
        except OSError as error:
            raise cannot_be_read(self.path, error) from error
        if len(data) < size:
            raise Corrupt("the archive ends before it")
        return data


def _tar_members(path: Path, rules: Listing) -> Members:
    """Return the files of a tar archive; raises `LnetError` if it is truncated or damaged."""
    try:
        found = scan(path)
        if rules.unpacked:
            _check_end(path, found.end)
    except OSError as error:
        raise cannot_be_read(path, error) from error
    except LnetError:
        raise
    except Exception as error:  # a damaged archive makes its reader raise almost anything
        if "end of data" in str(error) or "truncated" in str(error):
            raise _ends_early(path) from error
        raise refused("E703", f"'{path}' is not a readable tar archive", str(error), hint=_AGAIN) from error
    if not rules.unpacked:
        return found.files
    return _unpacked(found) if found.links else _last_of_each(found.files)


def _last_of_each(members: Members) -> Members:
    """Return the files as unpacked, where there are no links: the last one of each path."""
    plain = _NOT_NORMAL.search("\0".join(members.names)) is None
    paths = members.names if plain else map(normpath, members.names)
    hashes = np.fromiter(map(hash, paths), np.int64, len(members))
    values, counts = np.unique(hashes, return_counts=True)
    again = np.isin(hashes, values[counts > 1])
    if not again.any():
        return members
    last = {normpath(members.names[number]): number for number in np.flatnonzero(again).tolist()}
    kept = set(last.values())
    return members.some([n for n in range(len(members)) if not again[n] or n in kept])


_MISSING = Member("", -1, 0)
"""The target of a broken link."""


def _unpacked(found: Scan) -> Members:
    """Return the files as unpacked: the last one of each path, links resolved."""
    files: dict[str, Member] = {}
    links: dict[str, tuple[str, str]] = {}
    for member in _in_order(found):
        name = normpath(member.name)
        files.pop(name, None)
        links.pop(name, None)
        if isinstance(member, Member):
            files[name] = member
        elif member.hard:
            files[name] = files.get(normpath(member.target), _MISSING)._replace(name=member.name)
        else:
            links[name] = member.name, join(dirname(name), member.target)
    linked = [(name, files.get(_end_of(target, links), _MISSING)) for name, target in links.values()]
    return Members.of([*files.values(), *(file._replace(name=name) for name, file in linked)])


def _in_order(found: Scan) -> Iterator[Member | Link]:
    first = 0
    for link in found.links:
        yield from map(found.files.__getitem__, range(first, link.after))
        yield link
        first = link.after
    yield from map(found.files.__getitem__, range(first, len(found.files)))


def _end_of(target: str, links: dict[str, tuple[str, str]]) -> str:
    for _ in range(_LINKS):
        target = normpath(target)
        if target not in links:
            break
        target = links[target][1]
    return target


def _check_end(path: Path, end: int) -> None:
    """Raise `LnetError` unless only zeros, a block or more, follow the last member of an archive."""
    with open(path, "rb") as file:
        file.seek(end)
        mark = file.read(BLOCK)
        if len(mark) < BLOCK:
            raise _ends_early(path)
        if any(mark):
            message = f"the archive '{path}' is damaged"
            raise refused("E703", message, f"at byte {end:,} there is no header of a file", hint=_AGAIN)
        while more := file.read(2**20):
            if more.count(0) < len(more):
                raise refused(
                    "E703",
                    f"'{path}' is several archives in one file, of which only the first would be read",
                    f"it ends at byte {end:,}",
                    hint="join archives with 'tar -A', or name them with a pattern",
                )


_AGAIN = "fetch or write it again"


def _ends_early(path: Path) -> LnetError:
    return refused("E703", f"the archive '{path}' ends early: it was cut off", hint=_AGAIN)


# --- zip -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Zip:
    """Reads a zip archive, before which `shift` other bytes stand in its file."""

    path: Path
    reads: Reads
    shift: int

    def read(self, member: Member) -> bytes:
        try:
            return zip_members.read_member(self.reads, self.path, member.offset, self.shift, check_size)
        except OSError as error:
            raise cannot_be_read(self.path, error) from error
        except Corrupt:
            raise
        except Exception as error:  # a damaged archive makes its reader raise almost anything
            raise Corrupt(str(error) or type(error).__name__) from error


def _zip_members(path: Path, reads: Reads) -> tuple[Members, Zip]:
    """Return the files of a zip archive, links resolved, and what reads them; raises `LnetError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            reader = Zip(path, reads, zip_members.shift_of(archive))
            infos = {
                normpath(info.filename): (info, Member(info.filename, info.file_size, at))
                for info, at in zip_members.entries_of(archive)
                if not info.filename.endswith("/")
            }
    except OSError as error:
        raise cannot_be_read(path, error) from error
    except Exception as error:  # a damaged archive makes its reader raise almost anything
        raise _no_zip(path, error) from error
    locked = [info.filename for info, _ in infos.values() if info.flag_bits & 1]
    if locked:
        message = f"the archive '{path}' is encrypted"
        raise refused("E703", message, f"first '{locked[0]}'", hint="unpack it, and name the folder")
    links = {
        name: (info.filename, join(dirname(name), _target(reader, member)))
        for name, (info, member) in infos.items()
        if stat.S_ISLNK(info.external_attr >> 16)
    }
    files = {name: member for name, (_, member) in infos.items()}
    resolved = (
        files.get(_end_of(name, links), file)._replace(name=file.name) for name, file in files.items()
    )
    return Members.of(resolved), reader


def _target(reader: Reader, link: Member) -> str:
    try:
        return reader.read(link).decode(errors="replace")
    except Corrupt:
        return ""


def _no_zip(path: Path, error: Exception) -> LnetError:
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            return _ends_early(path)
    return refused("E703", f"'{path}' is not a readable zip archive", str(error), hint=_AGAIN)


def unpacking(path: str) -> str:
    """Return the hint for an archive of archives."""
    folder = PurePosixPath(path).stem
    tool = f"tar -xf '{path}' -C '{folder}'" if suffix_of(path) == ".tar" else f"unzip '{path}' -d '{folder}'"
    return (
        f"what is packed twice is unpacked once: mkdir '{folder}' && {tool}; then name what is in '{folder}'"
    )
