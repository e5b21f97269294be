"""Archives of images, tar and zip, read without unpacking."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from posixpath import dirname, join, normpath
from typing import Any, Protocol

from lnet.dsl.diagnostics import LnetError, refused

from .labels import LABEL, labels_beside
from .listing import Listing, cannot_be_read, stat_of, suffix_of
from .pixels import Corrupt, Loaded, load_image
from .samples import Place

_BLOCK = 512
_LINKS = 40
"""Longest chain of links that is followed."""


class _Member(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...


class Archive(ABC):
    """The images in an archive, sorted by name, with the labels beside them if requested."""

    def __init__(
        self, path: Path, members: Sequence[_Member], channels: int, rules: Listing, labelled: bool
    ) -> None:
        self.path, self.channels = path, channels
        shown = [member for member in members if rules.shows(member.name)]
        self._members = sorted((m for m in shown if rules.is_image(m.name)), key=lambda member: member.name)
        others = {m.name: m for m in shown if not rules.is_image(m.name)}
        self.names = [member.name for member in self._members]
        changed = stat_of(path)[1]
        self.stats = [(member.size, changed) for member in self._members]
        self.ignored = Counter(map(suffix_of, others))
        self.labels: list[str] | None = None
        if labelled:
            self.labels = labels_beside(self.names, others, lambda name: self.read(others[name]), path)
        if self.labels is not None:
            self.ignored.pop(LABEL)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Loaded:
        return load_image(self.read(self._members[index]), self.channels)

    @abstractmethod
    def read(self, member: _Member) -> bytes:
        """Return the bytes of a file in the archive; raises `Corrupt`."""


# --- tar -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file in a tar archive: its extents `(offset in the file, offset in the archive, bytes)`, with zeros between them."""

    name: str
    size: int
    pieces: tuple[tuple[int, int, int], ...]


_MISSING = _Stored("", -1, ())
"""The target of a broken link."""


class Tar(Archive):
    """An uncompressed tar archive."""

    def __init__(self, path: Path, channels: int, rules: Listing, labelled: bool) -> None:
        try:
            members = _stored(path, rules)
            self._file = open(path, "rb")  # noqa: SIM115 (kept open: members are read on demand)
        except OSError as error:
            raise cannot_be_read(path, error) from error
        super().__init__(path, members, channels, rules, labelled)

    def read(self, member: _Member) -> bytes:
        assert isinstance(member, _Stored)
        if member.size < 0:
            raise Corrupt("it is a link to a file that is not in the archive")
        found = bytearray(member.size)
        for start, offset, size in member.pieces:
            try:
                data = os.pread(self._file.fileno(), size, offset)
            except OSError as error:
                raise cannot_be_read(self.path, error) from error
            if len(data) < size:
                raise Corrupt("the archive ends before it")
            found[start : start + size] = data
        return bytes(found)


def _stored(path: Path, rules: Listing) -> list[_Stored]:
    """Return the files of a tar archive with their offsets; raises `LnetError` if it is truncated or damaged."""
    try:
        with tarfile.open(path, "r:") as archive:
            infos = list(archive)
            end = archive.offset
        if rules.unpacked:
            _check_end(path, end)
    except (OSError, LnetError):
        raise
    except Exception as error:  # a damaged archive makes its reader raise almost anything
        if "end of data" in str(error) or "truncated" in str(error):
            raise _ends_early(path) from error
        raise refused("E703", f"'{path}' is no readable tar archive", str(error), hint=_AGAIN) from error
    if not rules.unpacked:
        return [_as_stored(info) for info in infos if info.isfile()]
    return _unpacked(infos)


def _as_stored(info: tarfile.TarInfo) -> _Stored:
    if not info.issparse():
        return _Stored(info.name, info.size, ((0, info.offset_data, info.size),))
    offset, pieces = info.offset_data, []
    holes: Any = info.sparse  # a list of pairs, whatever typeshed says
    for start, size in holes:
        pieces.append((start, offset, size))
        offset += size
    return _Stored(info.name, info.size, tuple(pieces))


def _unpacked(infos: Iterable[tarfile.TarInfo]) -> list[_Stored]:
    """Return the files as unpacked: the last one of each name, links resolved."""
    files: dict[str, _Stored] = {}
    links: dict[str, tuple[str, str]] = {}
    for info in infos:
        name = normpath(info.name)
        files.pop(name, None)
        links.pop(name, None)
        if info.isfile():
            files[name] = _as_stored(info)
        elif info.islnk():
            files[name] = replace(files.get(normpath(info.linkname), _MISSING), name=info.name)
        elif info.issym():
            links[name] = info.name, join(dirname(name), info.linkname)
    linked = [(name, files.get(_end_of(target, links), _MISSING)) for name, target in links.values()]
    return [*files.values(), *(replace(file, name=name) for name, file in linked)]


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
        mark = file.read(_BLOCK)
        if len(mark) < _BLOCK:
            raise _ends_early(path)
        if any(mark):
            message = f"the archive '{path}' is damaged"
            raise refused("E703", message, f"at byte {end:,} there is no header of a file", hint=_AGAIN)
        while more := file.read(2**20):
            if more.count(0) < len(more):
                raise refused(
                    "E703",
                    f"'{path}' is several archives in one file, of which the first alone would be read",
                    f"it ends at byte {end:,}",
                    hint="join archives with 'tar -A', or name them with a pattern",
                )


_AGAIN = "fetch or write it again"


def _ends_early(path: Path) -> LnetError:
    return refused("E703", f"the archive '{path}' ends early: it was cut off", hint=_AGAIN)


# --- zip -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Zipped:
    name: str
    info: zipfile.ZipInfo

    @property
    def size(self) -> int:
        return self.info.file_size


class Zip(Archive):
    """A zip archive."""

    def __init__(self, path: Path, channels: int, rules: Listing, labelled: bool) -> None:
        try:
            self.path, self._zip = path, zipfile.ZipFile(path)
        except OSError as error:
            raise cannot_be_read(path, error) from error
        except Exception as error:  # a damaged archive makes its reader raise almost anything
            raise _no_zip(path, error) from error
        infos = {
            normpath(info.filename): info for info in self._zip.infolist() if not info.filename.endswith("/")
        }
        locked = [info.filename for info in infos.values() if info.flag_bits & 1]
        if locked:
            message = f"the archive '{path}' is encrypted"
            raise refused("E703", message, f"first '{locked[0]}'", hint="unpack it, and name the folder")
        links = {
            name: (info.filename, join(dirname(name), self._target(info)))
            for name, info in infos.items()
            if stat.S_ISLNK(info.external_attr >> 16)
        }
        members = [
            _Zipped(info.filename, infos.get(_end_of(name, links), info)) for name, info in infos.items()
        ]
        super().__init__(path, members, channels, rules, labelled)

    def _target(self, info: zipfile.ZipInfo) -> str:
        try:
            return self.read(_Zipped(info.filename, info)).decode(errors="replace")
        except Corrupt:
            return ""

    def read(self, member: _Member) -> bytes:
        assert isinstance(member, _Zipped)
        try:
            return self._zip.read(member.info)
        except Exception as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a negative offset
                raise cannot_be_read(self.path, error) from error
            raise Corrupt(str(error) or type(error).__name__) from error


def _no_zip(path: Path, error: Exception) -> LnetError:
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            return _ends_early(path)
    return refused("E703", f"'{path}' is no readable zip archive", str(error), hint=_AGAIN)


# --- either --------------------------------------------------------------------------------------------------------


def open_archive(place: Place) -> Archive:
    """Open an archive of images by its suffix; raises `LnetError`."""
    kind = Tar if suffix_of(place.path.name) == ".tar" else Zip
    return kind(place.path, place.channels, place.rules, place.labelled)


def unpacking(path: str) -> str:
    """Return the hint for an archive of archives."""
    folder = PurePosixPath(path).stem
    tool = f"tar -xf '{path}' -C '{folder}'" if suffix_of(path) == ".tar" else f"unzip '{path}' -d '{folder}'"
    return (
        f"what is packed twice is unpacked once: mkdir '{folder}' && {tool}; then name what is in '{folder}'"
    )
