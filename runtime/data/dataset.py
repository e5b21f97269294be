"""The order of a run's images: which image is sample k, and how it is cropped and mirrored.

Both are functions of seed and k alone, so that a resumed run, another batch size or another number of threads sees
the same images. The order is a fresh permutation in each pass over the data.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import LnetError, refused

from .array_files import ARRAY_FILE
from .checksums import UNREADABLE, Checksums, sum_of
from .contents import Contents
from .find import Found, find_sources
from .inventory import Inventory
from .labels import LABEL, UNKNOWN, Readout, number_labels, order_classes, read_classes, unknown_class
from .listing import NEWEST, listing
from .pixels import Corrupt, Pixels, normalize, prepare, stacked, window
from .samples import ImageSource

CACHE_BYTES = 2**30
Classes = Callable[..., tuple[str, ...]]
"""From the labels of images, and their names, to the classes in the order of their numbers."""
ENOUGH = 100
"""After this many unclear images in a row, the others are assumed to be unclear, too."""
_CROPS, _ORDERS = 0, 1  # streams of random numbers: one for windows, one for permutations


@dataclass(frozen=True, slots=True)
class Batch:
    """Images `[n, rows, columns, channels]`, normalised, and labels `[n]` (class numbers) if there are any."""

    images: NDArray[np.float32]
    labels: NDArray[np.int32] | None
    names: tuple[str, ...]
    checksums: NDArray[np.uint64] | None = None

    @property
    def sum(self) -> int:
        """A 64-bit digest of its images and labels."""
        return 0 if self.checksums is None else sum_of(self.checksums, self.labels)


@dataclass(frozen=True, slots=True)
class Kept:
    """The record of a run's images that makes resumed runs see the same ones: listing rules and classes."""

    listing: int = NEWEST
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    source: ImageSource
    index: int
    name: str


class Dataset:
    """Images by sample number; thread-safe.

    A corrupt image is skipped: the next one in the pass's order takes its place. `skipped` says which and why.
    """

    def __init__(
        self,
        frames: Frames,
        found: Found,
        seed: int,
        cache_bytes: int = CACHE_BYTES,
        classes: Classes = order_classes,
    ) -> None:
        self.frames, self.seed = frames, seed
        self._corrupt: dict[int, Corrupt] = {}
        entries = [_Entry(s, i, name) for s in found.sources for i, name in enumerate(s.names)]
        excluded = _Exclusion.read(frames.exclude)
        self._entries = [entry for entry in entries if not excluded.covers(entry.name)]
        self.unmatched = excluded.unmatched()
        if not self._entries:
            raise refused("E702", f"there are no images {self._where}", f"{len(entries)} were excluded")
        kinds = Counter(source.kind for source in found.sources if len(source.names))
        self.contents = Contents(
            self.count, frames.path or None, kinds, found.ignored, len(entries) - len(self._entries)
        )
        self.classes: tuple[str, ...] | None = None
        self._labels: NDArray[np.int32] | None = None
        labels = _labels(frames, self._entries)
        if labels is not None:
            self.classes = classes(labels, self.names)
            self._labels = number_labels(labels, self.classes)
            for unknown in np.flatnonzero(self._labels == UNKNOWN):
                raise unknown_class(self.names[unknown], labels[unknown], self.classes)
        self._cache: dict[int, Pixels] = {}
        self._room = cache_bytes
        self._lock = threading.Lock()
        self._places = {(id(entry.source), entry.index): place for place, entry in enumerate(self._entries)}
        self.checksums = Checksums(self.count)

    @property
    def count(self) -> int:
        """Images in one pass, corrupt ones included."""
        return len(self._entries)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the images, in the order of the files."""
        return tuple(entry.name for entry in self._entries)

    @cached_property
    def inventory(self) -> Inventory:
        """The inventory of the images; those of a single array are named by number alone, wherever its file is."""
        only = {id(entry.source): entry.source for entry in self._entries}
        alone = len(only) == 1 and self._entries[0].source.kind == ARRAY_FILE
        names = [f"[{entry.index}]" for entry in self._entries] if alone else self.names
        stats = {number: source.stats for number, source in only.items()}
        return Inventory(
            names, [stats[id(entry.source)][entry.index] for entry in self._entries], self._labels
        )

    @property
    def skipped(self) -> dict[str, str]:
        """Why images were skipped, by name; of several with one name the later ones are numbered."""
        found: dict[str, str] = {}
        for place, reason in list(self._corrupt.items()):
            name = self._entries[place].name
            found[name if name not in found else f"{name} (image {place + 1:,})"] = str(reason)
        return found

    @property
    def labels(self) -> NDArray[np.int32] | None:
        """The number of each image's class, where there are labels."""
        return self._labels

    @property
    def shown(self) -> tuple[str, ...] | None:
        """The classes that have images."""
        if self.classes is None or self._labels is None:
            return None
        return tuple(self.classes[number] for number in np.unique(self._labels))

    def original(self, place: int) -> Pixels | None:
        """Return a decoded image, neither scaled nor cropped; None if it is corrupt."""
        entry = self._entries[place]
        try:
            return entry.source.load(entry.index).pixels
        except Corrupt as error:
            self._corrupt[place] = error
            return None

    def batch(self, first: int, count: int) -> Batch:
        """Return samples `first` to `first + count` of the run."""
        return self._assemble([self._sample(number) for number in range(first, first + count)])

    def ordered(self, batch: int) -> Iterator[Batch]:
        """Yield batches of every image once, in the order of the files: central windows, not mirrored."""
        places = filter(self.decodable, range(self.count))
        while some := list(islice(places, batch)):
            yield self.at(some)

    def decodable(self, place: int) -> bool:
        """Whether the image at a place in the order of the files can be decoded."""
        return self._pixels(place) is not None

    def at(self, places: Iterable[int]) -> Batch:
        """Return the images at places in the order of the files: their central windows, not mirrored.

        Raises `LnetError` if one of them cannot be decoded.
        """
        return self._assemble([(place, self._central(place)) for place in places])

    def _central(self, place: int) -> Pixels:
        pixels = self._pixels(place)
        if pixels is None:
            name = self._entries[place].name
            reason = str(self._corrupt[place])
            raise refused("E706", f"the image '{name}' {self._where} cannot be decoded", reason)
        return window(pixels, self.frames.size, None, mirrored=False)

    def _sample(self, number: int) -> tuple[int, Pixels]:
        down, right, mirror = _random(self.seed, number, _CROPS).random(3)
        place, pixels = self._usable(number)
        spot = (down, right) if self.frames.crop == "random" else None
        return place, window(pixels, self.frames.size, spot, self.frames.flip and mirror < 0.5)

    def _usable(self, number: int) -> tuple[int, Pixels]:
        """Return the image of a sample: the first decodable one in the pass's order, from its own place on."""
        order = permutation(self.seed, number // self.count, self.count)
        unclear = 0
        for offset in range(self.count):
            place = int(order[(number + offset) % self.count])
            pixels = self._pixels(place)
            if pixels is not None:
                return place, pixels
            unclear += self._corrupt[place].unclear
            if unclear == ENOUGH:
                break
        raise self.undecodable(self.count)

    def undecodable(self, count: int) -> LnetError:
        """Return the error for `count` images of which none tried so far can be decoded."""
        place, reason = next(iter(self._corrupt.items()))
        met = len(self._corrupt)
        which = f"none of the {count}" if met >= count else f"none of the first {met} of {count}"
        return refused(
            "E704" if reason.unclear else "E706",
            f"{which} images {self._where} can be decoded",
            f"'{self._entries[place].name}': {reason}",
        )

    def _pixels(self, place: int) -> Pixels | None:
        """Return an image, scaled to cover the window; None if it is corrupt."""
        entry = self._entries[place]
        if place in self._corrupt:
            return None
        if place in self._cache:
            return self._cache[place]
        try:
            found = entry.source.load(entry.index)
        except Corrupt as error:
            self._check(place, error.checksum, str(error))
            self._corrupt[place] = error
            return None
        try:
            for index, loaded in {**found.passed, entry.index: found}.items():
                at = self._places.get((id(entry.source), index))
                if at is not None:
                    self._check(at, loaded.checksum)
                    self._keep(at, prepare(loaded.pixels, self.frames))
            return prepare(found.pixels, self.frames)
        except Corrupt as error:
            self._corrupt[place] = error
            return None

    def check(self, place: int) -> None:
        """Read an image; raises `LnetError` if its checksum is not the recorded one."""
        entry = self._entries[place]
        try:
            self._check(place, entry.source.load(entry.index).checksum)
        except Corrupt as error:
            self._check(place, error.checksum, str(error))

    @property
    def _where(self) -> str:
        return f"in '{self.frames.path}'" if self.frames.path else "in memory"

    def _check(self, place: int, found: int, *notes: str) -> None:
        if self.checksums.agrees(place, found):
            return
        name = f"the image '{self._entries[place].name}' {self._where}"
        if self.checksums[place] == UNREADABLE:
            raise other_images(f"{name} could not be read when the run met it first, and now it can", *notes)
        if found == UNREADABLE:
            raise other_images(f"{name} was read before, and now it cannot be", *notes)
        raise other_images(f"{name} is another one than when it was read first", *notes)

    def _keep(self, place: int, pixels: Pixels) -> None:
        with self._lock:
            if place not in self._cache and pixels.nbytes <= self._room:
                self._cache[place] = pixels
                self._room -= pixels.nbytes

    def _assemble(self, samples: list[tuple[int, Pixels]]) -> Batch:
        images = stacked([pixels for _, pixels in samples])
        places = [place for place, _ in samples]
        labels = None if self._labels is None else self._labels[places]
        names = tuple(self._entries[place].name for place in places)
        checksums = self.checksums.at(places)
        return Batch(normalize(images, self.frames.normalize), labels, names, checksums)


@lru_cache(maxsize=4)
def permutation(seed: int, number: int, count: int) -> NDArray[np.int64]:
    """Return the order of the images in a pass over the data."""
    return _random(seed, number, _ORDERS).permutation(count)


def _random(seed: int, number: int, stream: int) -> np.random.Generator:
    """Return random numbers that depend on seed, number and stream alone (Salmon et al. 2011)."""
    counter = np.array([0, 0, 0, stream], np.uint64)
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], np.uint64), counter=counter))


@dataclass(frozen=True)
class _Exclusion:
    """Names to leave out; an entry matches a whole name or its last components: `c.jpg` and `b/c.jpg` match `a/b/c.jpg`."""

    entries: frozenset[str]
    used: set[str]

    @staticmethod
    def read(path: str | None) -> _Exclusion:
        if path is None:
            return _Exclusion(frozenset(), set())
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise refused(
                "E708", f"the list of names to exclude, '{path}', cannot be read", str(error)
            ) from error
        entries = (re.split(r"(?:^|\s)#", line)[0].strip() for line in lines)
        return _Exclusion(frozenset(entry for entry in entries if entry), set())

    def covers(self, name: str) -> bool:
        parts = name.split("/")
        hits = self.entries.intersection("/".join(parts[at:]) for at in range(len(parts)))
        self.used.update(hits)
        return bool(hits)

    def unmatched(self) -> tuple[str, ...]:
        return tuple(sorted(self.entries - self.used))


def _labels(frames: Frames, entries: list[_Entry]) -> list[str] | None:
    """Return each image's label: its own, else with `labels = folder` the name of its folder; None where some have none."""
    found = [None if entry.source.labels is None else entry.source.labels[entry.index] for entry in entries]
    if frames.labels == "folder":
        return [label or _folder_of(entry, frames) for label, entry in zip(found, entries, strict=True)]
    labels = [label for label in found if label is not None]
    return labels if len(labels) == len(entries) else None


def _folder_of(entry: _Entry, frames: Frames) -> str:
    name = entry.name
    if folder := name.rpartition("/")[0].rpartition("/")[2]:
        return folder
    if entry.source.kind == ARRAY_FILE:
        file = name.rpartition("[")[0]
        hint = f"add an array 'labels': np.savez('{Path(file).stem}.npz', images=images, labels=labels)"
        raise refused("E707", f"the array in '{file}' has no labels beside it", hint=hint)
    raise refused(
        "E707",
        f"labels are the names of folders, and '{name}' in '{frames.path}' is in none",
        f"no '{LABEL}' file stands beside it either",
        hint="put the images of each class into a folder with its name",
    )


def open_frames(
    frames: Frames,
    channels: int,
    base: Path,
    seed: int,
    cache_bytes: int = CACHE_BYTES,
    kept: Kept | None = None,
    classes: Classes = order_classes,
    hint: str | None = None,
) -> Dataset:
    """Open the images that a plan names, relative to `base`; raises `LnetError`.

    `channels` is 1 or 3; up to `cache_bytes` of decoded images are kept in memory. `kept` is the record of the run that they
    belong to; `classes` orders the classes of a new run. `hint`: the hint if the path does not exist.
    """
    check_channels(channels)
    if frames.exclude is not None:
        frames = replace(frames, exclude=str(base / frames.exclude))
    kept = kept or Kept()
    rules = listing(kept.listing)
    found = find_sources(frames.path, channels, base, frames.labels == "folder", rules, hint)
    return Dataset(frames, found, seed, cache_bytes, _ordering(kept, classes, frames, base))


def open_given(
    source: ImageSource,
    frames: Frames,
    base: Path,
    seed: int,
    kept: Kept | None = None,
    classes: Classes = order_classes,
) -> Dataset:
    """Return images in memory as a data set, like the same images in a file; prepared images stay unchanged."""
    frames = replace(frames, path="", labels=None, exclude=None)
    if source.shape is not None:
        frames = replace(frames, crop="center", flip=False, normalize="none")
    order = _ordering(kept or Kept(), classes, frames, base)
    return Dataset(frames, Found((source,), Counter()), seed, classes=order)


def _ordering(kept: Kept, classes: Classes, frames: Frames, base: Path) -> Classes:
    """Return the order of the classes: a run's record or a list of classes, else `classes`."""
    if kept.classes is not None:
        return partial(order_classes, listed=kept.classes)
    if frames.classes is not None:
        return partial(classes, listed=read_classes(base / frames.classes))
    return classes


def check_channels(channels: int) -> None:
    """Raise `LnetError` unless an input has 1 or 3 channels."""
    if channels not in (1, 3):
        message = f"images have 1 channel (grey) or 3 (colour), but the input has {channels}"
        raise refused("E705", message)


def other_images(message: str, *notes: str) -> LnetError:
    """Return the error for images that differ from the run's."""
    return refused(
        "E748",
        message,
        *notes,
        hint=(
            "give back the images that the run began with; '--data PATH' says where they are (in Python: data=...)",
            "or go on with the images as they are now: lnetc resume RUN --other-images",
        ),
    )


class Labelled(Protocol):
    """Data with or without labels."""

    @property
    def contents(self) -> Contents: ...

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of their numbers."""


def check_labels(images: Labelled, readouts: Sequence[Readout]) -> None:
    """Raise `LnetError` where an objective needs labels and the images have none."""
    if images.classes is not None or not readouts:
        return
    if images.contents.path is None:
        hint = "give them beside the images: lnet.train(plan, data=images, labels=labels)"
    elif images.contents.sources.keys() <= {ARRAY_FILE}:
        hint = "keep them beside the images: np.savez('images.npz', images=images, labels=labels)"
    else:
        hint = "give 'frames' the argument 'labels = folder'"
    message = f"the objective '{readouts[0].objective}' needs labels, and the images have none"
    raise refused("E707", message, hint=hint)
