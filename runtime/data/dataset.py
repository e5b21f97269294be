"""The images of a run in their order: which image is sample k, and how it is cropped and mirrored.

All of it is a function of seed and k alone, so that a resumed run, another batch size or another number of threads
sees the same images. The order is a fresh permutation in each pass over the data.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import refused

from .find import find_sources
from .pixels import Corrupt, Pixels, normalize, prepare, stacked, window
from .sources import ImageSource

CACHE_BYTES = 2**30
_CROPS, _ORDERS = 0, 1  # streams of random numbers: one for windows, one for permutations


@dataclass(frozen=True, slots=True)
class Batch:
    """Images `[n, rows, columns, channels]`, normalised, with labels `[n]` (numbers of classes) where there are any."""

    images: NDArray[np.float32]
    labels: NDArray[np.int32] | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    source: ImageSource
    index: int
    name: str


class Dataset:
    """Images that can be asked for by sample number, from any thread.

    A corrupt image is skipped: the next one in the pass's order takes its place. `skipped` says which and why.
    """

    def __init__(
        self, frames: Frames, sources: Sequence[ImageSource], seed: int, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.frames, self.seed = frames, seed
        self._corrupt: dict[int, str] = {}
        entries = [_Entry(s, i, name) for s in sources for i, name in enumerate(s.names)]
        excluded = _Exclusion.read(frames.exclude)
        self._entries = [entry for entry in entries if not excluded.covers(entry.name)]
        self.unmatched = excluded.unmatched()
        if not self._entries:
            raise refused("E702", f"there are no images in '{frames.path}'", f"{len(entries)} were excluded")
        self.classes: tuple[str, ...] | None
        self._labels: NDArray[np.int32] | None
        self.classes, self._labels = _classes(frames, self._entries)
        self._cache: dict[int, Pixels] = {}
        self._room = cache_bytes
        self._lock = threading.Lock()
        self._places = {(id(entry.source), entry.index): place for place, entry in enumerate(self._entries)}

    @property
    def count(self) -> int:
        """Images in one pass, corrupt ones included."""
        return len(self._entries)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the images, in the order of the files."""
        return tuple(entry.name for entry in self._entries)

    @property
    def skipped(self) -> dict[str, str]:
        """Why images were skipped, by name; of several with one name the later ones are numbered."""
        found: dict[str, str] = {}
        for place, reason in list(self._corrupt.items()):
            name = self._entries[place].name
            found[name if name not in found else f"{name} (image {place + 1:,})"] = reason
        return found

    @property
    def labels(self) -> NDArray[np.int32] | None:
        """The number of each image's class, where there are labels."""
        return self._labels

    def original(self, place: int) -> Pixels | None:
        """Return an image as it was decoded, neither scaled nor cropped; None if it is corrupt."""
        entry = self._entries[place]
        try:
            return entry.source.load(entry.index)[entry.index]
        except Corrupt as error:
            self._corrupt[place] = str(error)
            return None

    def batch(self, first: int, count: int) -> Batch:
        """Return samples `first` to `first + count` of the run."""
        return self._assemble([self._sample(number) for number in range(first, first + count)])

    def ordered(self, batch: int) -> Iterator[Batch]:
        """Yield every image once, in the order of the files, its central window, not mirrored."""
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
            raise refused(
                "E706", f"the image '{name}' in '{self.frames.path}' cannot be decoded", self._corrupt[place]
            )
        return window(pixels, self.frames.size, None, mirrored=False)

    def _sample(self, number: int) -> tuple[int, Pixels]:
        down, right, mirror = _random(self.seed, number, _CROPS).random(3)
        place, pixels = self._usable(number)
        spot = (down, right) if self.frames.crop == "random" else None
        return place, window(pixels, self.frames.size, spot, self.frames.flip and mirror < 0.5)

    def _usable(self, number: int) -> tuple[int, Pixels]:
        """Return the image of a sample: the first in the pass's order, from its own on, that can be decoded."""
        order = permutation(self.seed, number // self.count, self.count)
        for offset in range(self.count):
            place = int(order[(number + offset) % self.count])
            pixels = self._pixels(place)
            if pixels is not None:
                return place, pixels
        name, reason = next(iter(self.skipped.items()))
        raise refused(
            "E706",
            f"none of the {self.count} images in '{self.frames.path}' can be decoded",
            f"'{name}': {reason}",
        )

    def _pixels(self, place: int) -> Pixels | None:
        """Return an image, scaled to cover the window; None if it is corrupt."""
        entry = self._entries[place]
        if place in self._corrupt:
            return None
        if place in self._cache:
            return self._cache[place]
        try:
            decoded = entry.source.load(entry.index)
        except Corrupt as error:
            self._corrupt[place] = str(error)
            return None
        for index, pixels in decoded.items():
            self._keep(self._places.get((id(entry.source), index)), prepare(pixels, self.frames))
        return prepare(decoded[entry.index], self.frames)

    def _keep(self, place: int | None, pixels: Pixels) -> None:
        with self._lock:
            if place is not None and place not in self._cache and pixels.nbytes <= self._room:
                self._cache[place] = pixels
                self._room -= pixels.nbytes

    def _assemble(self, samples: list[tuple[int, Pixels]]) -> Batch:
        images = stacked([pixels for _, pixels in samples])
        places = [place for place, _ in samples]
        labels = None if self._labels is None else self._labels[places]
        names = tuple(self._entries[place].name for place in places)
        return Batch(normalize(images, self.frames.normalize), labels, names)


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
    """Names to leave out; an entry covers the whole name or the file name in it."""

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
        hits = self.entries.intersection((name, name.rpartition("/")[2]))
        self.used.update(hits)
        return bool(hits)

    def unmatched(self) -> tuple[str, ...]:
        return tuple(sorted(self.entries - self.used))


def _classes(
    frames: Frames, entries: list[_Entry]
) -> tuple[tuple[str, ...] | None, NDArray[np.int32] | None]:
    """Return the sorted label names and the number of each image's."""
    if frames.labels == "folder":
        labels = [_folder_of(entry.name, frames) for entry in entries]
    elif all(entry.source.labels is not None for entry in entries):
        labels = [entry.source.labels[entry.index] for entry in entries]  # type: ignore[index]
    else:
        return None, None
    classes = tuple(sorted(set(labels)))
    numbers = {label: number for number, label in enumerate(classes)}
    return classes, np.array([numbers[label] for label in labels], np.int32)


def _folder_of(name: str, frames: Frames) -> str:
    folder = name.rpartition("/")[0].rpartition("/")[2]
    if not folder:
        raise refused(
            "E707",
            f"labels are the names of folders, and '{name}' in '{frames.path}' is in none",
            hint="put the images of each class into a folder with its name",
        )
    return folder


def open_frames(
    frames: Frames, channels: int, base: Path, seed: int, cache_bytes: int = CACHE_BYTES
) -> Dataset:
    """Open the images that a plan names, relative to `base`; raises `LnetError`.

    `channels` is 1 or 3; up to `cache_bytes` of decoded images are kept in memory.
    """
    if channels not in (1, 3):
        raise refused("E705", f"images have 1 channel (grey) or 3 (colour), but the input has {channels}")
    if frames.exclude is not None:
        frames = replace(frames, exclude=str(base / frames.exclude))
    return Dataset(frames, find_sources(frames.path, channels, base), seed, cache_bytes)


class Labelled(Protocol):
    """What may have labels."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the labels, in the order of their numbers."""


def check_classes(dataset: Labelled, units: int, objective: str) -> None:
    """Raise `LnetError` unless the images have labels, as many classes as the vector that reads them is long."""
    if dataset.classes is None:
        raise refused(
            "E707",
            f"the objective '{objective}' needs labels, and the images have none",
            hint="give 'frames' the argument 'labels = folder'",
        )
    if len(dataset.classes) != units:
        raise refused(
            "E710",
            f"the objective '{objective}' reads {units} values, but the images have {len(dataset.classes)} classes",
            "the classes are " + ", ".join(dataset.classes[:20]),
        )
