"""Image files, in a folder and its subfolders."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lnet.runtime.process.counted import reported

from .beside import labels_beside
from .listing import ARCHIVES, Listing, cannot_be_read, stat_of, suffix_of
from .members import Members
from .pixels import Corrupt, Loaded, load_image
from .reads import again
from .samples import Place

_OF_THE_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR)
"""Errors of a single file; all others concern the disk, the network or this process."""
EACH = 1000
"""Files after which the progress of a search is reported."""


@dataclass(frozen=True)
class Files:
    """Image files; names are relative to a folder.

    `searched`: the folders, or the list, that they were found in, relative to it, with their modification times before the
    search; `archives`: those in a folder without images.
    """

    folder: Path
    names: Sequence[str]
    channels: int
    labels: Sequence[str] | None = None
    ignored: Mapping[str, int] = field(default_factory=dict)
    searched: Mapping[str, int] = field(default_factory=dict)
    archives: Sequence[str] = ()

    @cached_property
    def stats(self) -> Sequence[tuple[int, int]]:
        return [stat_of(self.folder / name) for name in self.names]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Loaded:
        return load_image(read_file(self.folder / self.names[index]), self.channels)

    def stored(self, numbers: Sequence[int]) -> tuple[Members, list[int]]:
        """Return names and sizes of files as those of an archive's members, and their modification times."""
        names = [self.names[number] for number in numbers]
        stats = [stat_of(self.folder / name) for name in names]
        found = Members()
        found.extend(names, (size for size, _ in stats), bytes(len(names)))
        return found, [time for _, time in stats]


def open_folder(place: Place) -> Files:
    """Open the images of a folder and its subfolders, sorted by name."""
    root, listing, (inside,) = place.root, place.rules, place.names
    searched: dict[str, int] = {}
    walked = _walk(root / inside, "" if inside in ("", ".") else f"{inside}/", listing, frozenset(), searched)
    found = sorted(_reporting(walked))
    names = [name for name in found if listing.is_image(name)]
    others = {name for name in found if not listing.is_image(name)}
    archives = [] if names else sorted(name for name in others if suffix_of(name) in ARCHIVES)
    ignored = Counter(suffix_of(name) for name in others) - Counter(map(suffix_of, archives))
    beside = labels_beside(
        names, others.__contains__, lambda name: read_file(root / name), place.labels, root
    )
    if beside is not None:
        ignored -= Counter({beside.suffix: beside.files})
    labels = None if beside is None else beside.labels
    return Files(root, names, place.channels, labels, ignored, searched, archives)


def _reporting(names: Iterator[str]) -> Iterator[str]:
    number = 0
    for number, name in enumerate(names, 1):
        if number % EACH == 0:
            reported("files found", number, 0)
        yield name
    reported("files found", number, number)


def open_files(place: Place) -> Files:
    """Open image files that are named one by one."""
    root = place.root
    beside = labels_beside(
        place.names,
        lambda name: (root / name).is_file(),
        lambda name: read_file(root / name),
        place.labels,
        root,
    )
    return Files(root, place.names, place.channels, None if beside is None else beside.labels)


def _walk(
    folder: Path,
    prefix: str,
    listing: Listing,
    above: frozenset[tuple[int, int]],
    searched: dict[str, int],
) -> Iterator[str]:
    """Yield the names of the files in a folder; links to one of the folders `above` are skipped."""
    try:
        status = os.stat(folder)
        entries = list(os.scandir(folder))
    except OSError as error:
        raise cannot_be_read(folder, error) from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    searched[prefix.rstrip("/") or "."] = status.st_mtime_ns
    for entry in entries:
        if not listing.shows(entry.name):
            continue
        if _leads_to_a_folder(entry, listing.unpacked):
            inside = f"{prefix}{entry.name}/"
            yield from _walk(folder / entry.name, inside, listing, above | {here}, searched)
        elif _is_file(entry, listing.unpacked):
            yield prefix + entry.name


def _leads_to_a_folder(entry: os.DirEntry[str], links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError:  # a link that leads to itself
        return False


def _is_file(entry: os.DirEntry[str], links: bool) -> bool:
    """Whether an entry is a file, or a broken link: reading that will report a missing image."""
    try:
        return entry.is_file() or (links and entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return links


def read_file(path: Path) -> bytes:
    """Return a file's bytes; raises `Corrupt` for an error of this file, `LnetError` for one that concerns all files."""
    try:
        return again(path.read_bytes)
    except OSError as error:
        if error.errno in _OF_THE_FILE:
            raise Corrupt(f"it cannot be read: {error.strerror}") from error
        raise cannot_be_read(path, error) from error
