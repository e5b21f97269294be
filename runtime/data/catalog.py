"""A data set's images in their order, by place: names, labels, sizes and times, and how each is loaded.

Listed     held in memory: what the sources said when they were opened
Indexed    read from an index, image by image: nothing grows with their number
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Region
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import refused

from .archives import Archive, Reader, Tar, Zip
from .array_files import ARRAY_FILE
from .beside import EITHER, SUFFIXES, folder_of
from .exclusion import Exclusion
from .files import read_file
from .index_file import Index, Names
from .inventory import Inventory, Stored, other_images
from .pixels import Loaded, Reals, load_image
from .samples import ImageSource


class Catalog(Protocol):
    """The images of a data set.

    `kinds` counts its sources by kind, `ignored` other files by suffix; `excluded`: the number of images that a list of
    names leaves out, `unmatched`: entries of that list without an image. `labels`: all labels in the order in which they
    appear, with the name of the first image of each; None if some image has none. `index`: the file it is read from.
    """

    excluded: int
    unmatched: tuple[str, ...]

    @property
    def kinds(self) -> Mapping[str, int]: ...

    @property
    def ignored(self) -> Mapping[str, int]: ...

    @property
    def index(self) -> Index | None: ...

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Sequence[tuple[str, str]] | None: ...

    @property
    def inventory(self) -> Inventory: ...

    def labelled(self, places: Sequence[int] | None = None) -> NDArray[np.int32]:
        """Return the numbers of the labels of images, of all by default, in the order of `labels`."""

    def shown(self, place: int) -> str:
        """Return the name of an image in messages: in an archive, after the path of that."""

    def load(self, place: int) -> Loaded:
        """Return an image; `passed` by place. Raises `Corrupt` and `LnetError`."""

    def targets(self, places: Sequence[int], at: Mapping[str, Region] | None) -> dict[str, Reals]:
        """Return what the network should give for images, all or regions of it, by its targets; images have none."""


class Entry(NamedTuple):
    """An image of a source, by its number there."""

    source: ImageSource
    number: int
    name: str
    label: str | None


def chosen(
    source: ImageSource, frames: Frames, excluded: Exclusion
) -> tuple[Sequence[int], Sequence[str | None]]:
    """Return the numbers of the images of a source that are not excluded, and their labels.

    Raises `LnetError` for one without the label that is asked for.
    """
    names, own = source.names, source.labels
    numbers: Sequence[int] = range(len(names))
    if excluded.entries:
        numbers = [number for number in numbers if not excluded.covers(names[number])]
    labels = [None] * len(numbers) if own is None else [own[number] for number in numbers]
    if frames.labels is not None:
        labels = [
            label or _other_label(source, names[number], frames)
            for number, label in zip(numbers, labels, strict=True)
        ]
    return numbers, labels


def _other_label(source: ImageSource, name: str, frames: Frames) -> str:
    """Return the label of an image that has none of its own: the name of its folder, if `frames` takes that."""
    if frames.labels in ("folder", EITHER) and (folder := folder_of(name)):
        return folder
    if source.kind == ARRAY_FILE:
        file = name.rpartition("[")[0]
        hint = f"add an array 'labels': np.savez('{Path(file).stem}.npz', images=images, labels=labels)"
        raise refused("E707", f"the array in '{file}' has no labels beside it", hint=hint)
    files = " or ".join(f"'{suffix}'" for suffix in SUFFIXES)
    if frames.labels == "file":
        raise refused(
            "E707",
            f"there is no label beside '{name}' in '{frames.path}'",
            f"no {files} file of its name",
            hint="'labels = folder' takes the names of folders",
        )
    raise refused(
        "E707",
        f"labels are the names of folders, and '{name}' in '{frames.path}' is in none",
        f"no {files} file stands beside it either",
        hint="put the images of each class into a folder with its name",
    )


def shown(source: ImageSource, name: str) -> str:
    """Return the name of an image in messages: in an archive, after the path of that."""
    if source.place is None or not isinstance(source.samples, Archive):
        return name
    return f"{source.place.names[0]}/{name}"


class Untargeted:
    """A catalog without targets."""

    def targets(self, places: Sequence[int], at: Mapping[str, Region] | None) -> dict[str, Reals]:
        return {}


class Listed(Untargeted):
    """A catalog in memory; the images of a single array are listed by number alone, wherever its file is."""

    index = None

    def __init__(
        self, sources: Sequence[ImageSource], ignored: Mapping[str, int], frames: Frames, excluded: Exclusion
    ) -> None:
        self._entries = [
            Entry(source, number, source.names[number], label)
            for source in sources
            for number, label in zip(*chosen(source, frames, excluded), strict=True)
        ]
        self.ignored, self.unmatched = ignored, excluded.unmatched()
        self.excluded = sum(len(source.names) for source in sources) - len(self._entries)
        self.kinds = Counter(source.kind for source in sources if len(source.names))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self._entries)

    @cached_property
    def labels(self) -> Sequence[tuple[str, str]] | None:
        firsts: dict[str, str] = {}
        for entry in self._entries:
            if entry.label is None:
                return None
            firsts.setdefault(entry.label, shown(entry.source, entry.name))
        return list(firsts.items())

    @cached_property
    def _numbers(self) -> NDArray[np.int32]:
        numbers = {label: number for number, (label, _) in enumerate(self.labels or ())}
        return np.array([-1 if e.label is None else numbers[e.label] for e in self._entries], np.int32)

    def labelled(self, places: Sequence[int] | None = None) -> NDArray[np.int32]:
        return self._numbers if places is None else self._numbers[places]

    @cached_property
    def inventory(self) -> Inventory:
        return Inventory(self._stored)

    def _stored(self) -> Iterator[Stored]:
        sources = {id(entry.source): entry.source for entry in self._entries}
        stats = {number: source.stats for number, source in sources.items()}
        alone = len(sources) == 1 and self._entries[0].source.kind == ARRAY_FILE
        for entry in self._entries:
            size, time = stats[id(entry.source)][entry.number]
            name = f"[{entry.number}]" if alone else entry.name
            yield Stored(name, size, None if self.labels is None else entry.label, time)

    @cached_property
    def _places(self) -> dict[tuple[int, int], int]:
        return {(id(entry.source), entry.number): place for place, entry in enumerate(self._entries)}

    def shown(self, place: int) -> str:
        return shown(self._entries[place].source, self._entries[place].name)

    def load(self, place: int) -> Loaded:
        entry = self._entries[place]
        found = entry.source.load(entry.number)
        passed = ((self._places.get((id(entry.source), n)), image) for n, image in found.passed.items())
        return Loaded(found.pixels, found.checksum, {at: image for at, image in passed if at is not None})


class Indexed(Untargeted):
    """A catalog in an index, of images in `root`."""

    def __init__(self, index: Index, root: Path, channels: int) -> None:
        self.index, self._root, self._channels = index, root, channels
        contents = index.contents
        self.kinds, self.ignored = contents.kinds, contents.ignored
        self.excluded, self.unmatched = contents.excluded, tuple(contents.unmatched)
        self.names, self.labels = Names(index), contents.labels
        self.inventory = Inventory(index.stored, (contents.digest, contents.times))
        self._readers = [
            self._reader(source.kind, root / source.path, source.shift) for source in contents.sources
        ]

    def _reader(self, kind: str, path: Path, shift: int) -> Reader | None:
        if kind == "files":
            return None
        return Tar(path, self.index.reads) if kind == "tar" else Zip(path, self.index.reads, shift)

    def labelled(self, places: Sequence[int] | None = None) -> NDArray[np.int32]:
        if places is None:
            return self.index.labels()
        return np.array([self.index[place].label for place in places], np.int32)

    def shown(self, place: int) -> str:
        record = self.index[place]
        source = self.index.contents.sources[record.source]
        return record.name if source.kind == "files" else f"{source.path}/{record.name}"

    def load(self, place: int) -> Loaded:
        record = self.index[place]
        reader = self._readers[record.source]
        if reader is not None:
            return load_image(reader.read(self.index.member(place, record)), self._channels)
        data = read_file(self._root / record.name)
        if 0 <= record.size != len(data):
            name = f"the image '{record.name}' in '{self._root}'"
            raise other_images(f"{name} has {len(data):,} bytes, and had {record.size:,} when it was indexed")
        return load_image(data, self._channels)
