"""The order of a run's images: which image is sample k, and how each view of it is cropped, mirrored and augmented.

All are functions of seed, k and the view alone, so that a resumed run, another batch size or another number of threads
sees the same images. The order is a fresh permutation in each pass over the data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.augmentations import Zoom
from lnet.compiler.core.shapes import Region
from lnet.compiler.plugins.identity import Plugin
from lnet.compiler.settings import DatasetFigures, Frames
from lnet.dsl.diagnostics import LnetError, refused

from .array_files import ARRAY_FILE
from .arrays import NO_IMAGES
from .augment import Draws, augmented, zoomed, zooms_of
from .catalog import Catalog, Listed
from .checksums import UNREADABLE, Checksums, sum_of
from .contents import Contents
from .draws import uniform
from .exclusion import Exclusion, read_exclusion
from .find import located
from .indexes import Indexing, Request, open_catalog
from .inventory import Inventory, other_images
from .labels import UNKNOWN, Readout, number_labels, order_classes, read_classes, unknown_class
from .listing import NEWEST, listing
from .order import image_at, order_for
from .pixels import Corrupt, Pixels, Reals, normalize, prepare, stacked, window
from .samples import ImageSource, Place
from .sources import ARRAY_SET, plugins_of

CACHE_BYTES = 2**30
Classes = Callable[..., tuple[str, ...]]
"""From the labels of images, and their names, to the classes in the order of their numbers."""
ENOUGH = 100
"""After this many unclear images in a row, the others are assumed to be unclear, too."""
_CROPS = 0  # the stream of random numbers for windows; those of permutations are another (order.py)


@dataclass(frozen=True, slots=True)
class Batch:
    """Images `[n, rows, columns, channels]`, normalised, and labels `[n]` (class numbers) if there are any.

    `targets`: `[n, rows, columns, maps]`, by their paths in the network. The views of an image lie one after the other; its
    name, label, ... stand there for each of them.
    """

    images: Reals
    labels: NDArray[np.int32] | None
    names: tuple[str, ...]
    checksums: NDArray[np.uint64] | None = None
    places: NDArray[np.int64] | None = None
    targets: Mapping[str, Reals] = field(default_factory=dict)

    @property
    def sum(self) -> int:
        """A 64-bit digest of its images and labels."""
        return 0 if self.checksums is None else sum_of(self.checksums, self.labels)


@dataclass(frozen=True, slots=True)
class Kept:
    """The record of a run's images that makes resumed runs see the same ones: listing rules, classes, order and index.

    `order`: None for a new run, whose number of images decides; `index`: the path of the index that it reads from, if any.
    """

    listing: int = NEWEST
    classes: tuple[str, ...] | None = None
    order: int | None = None
    index: str | None = None


class Dataset:
    """Images by sample number; thread-safe.

    A corrupt image is skipped: the next one in the pass's order takes its place. `skipped` says which and why.
    `dtype`: the type of the network's numbers. `with_targets`: whether batches have their targets; otherwise `targets`
    reads them, or regions of them.
    """

    with_targets = True

    def __init__(
        self,
        frames: Frames,
        catalog: Catalog,
        seed: int,
        cache_bytes: int = CACHE_BYTES,
        classes: Classes = order_classes,
        order: int | None = None,
        dtype: str = "float32",
    ) -> None:
        self.dtype = dtype
        self.frames, self.seed, self.catalog = frames, seed, catalog
        self._corrupt: dict[int, Corrupt] = {}
        self.unmatched = catalog.unmatched
        self.count = len(catalog.names)
        if not self.count:
            excluded = f"{catalog.excluded:,} were excluded" if catalog.excluded else ()
            raise refused("E702", f"there are no images {self._where}", *([excluded] if excluded else []))
        self.order = order_for(self.count) if order is None else order
        self.contents = Contents(
            self.count, frames.path or None, catalog.kinds, catalog.ignored, catalog.excluded
        )
        self.classes: tuple[str, ...] | None = None
        if catalog.labels is not None:
            texts, firsts = zip(*catalog.labels, strict=True)
            self.classes = classes(texts, firsts)
            self._numbers = number_labels(texts, self.classes)
            for unknown in np.flatnonzero(self._numbers == UNKNOWN):
                raise unknown_class(firsts[unknown], texts[unknown], self.classes)
        self._cache: dict[int, Pixels] = {}
        self._room = cache_bytes
        self._lock = threading.Lock()
        self.checksums = Checksums(self.count)

    @property
    def names(self) -> Sequence[str]:
        """The names of the images, in the order of the files."""
        return self.catalog.names

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The plug-ins that read the images."""
        return plugins_of(self.catalog.kinds)

    @property
    def inventory(self) -> Inventory:
        """The inventory of the images; those of a single array are named by number alone, wherever its file is."""
        return self.catalog.inventory

    def inventory_like(self, digest: str | None) -> Inventory:
        """Return the inventory as the run did that has this digest."""
        texts = [text for text, _ in self.catalog.labels or ()]
        numbers = dict(zip(texts, self._numbers.tolist(), strict=True)) if texts else {}
        return self.inventory.like(digest, numbers)

    @property
    def skipped(self) -> dict[str, str]:
        """Why images were skipped, by name; of several with one name the later ones are numbered."""
        found: dict[str, str] = {}
        for place, reason in list(self._corrupt.items()):
            name = self.catalog.shown(place)
            found[name if name not in found else f"{name} (image {place + 1:,})"] = str(reason)
        return found

    @property
    def labels(self) -> NDArray[np.int32] | None:
        """The number of each image's class, where there are labels."""
        return None if self.classes is None else self._numbers[self.catalog.labelled()]

    @property
    def shown(self) -> tuple[str, ...] | None:
        """The classes that have images."""
        if self.classes is None:
            return None
        return tuple(self.classes[number] for number in np.unique(self._numbers))

    def original(self, place: int) -> Pixels | None:
        """Return a decoded image, neither scaled nor cropped; None if it is corrupt."""
        try:
            return self.catalog.load(place).pixels
        except Corrupt as error:
            self._corrupt[place] = error
            return None

    def batch(self, first: int, count: int, every: int = 1, views: int | None = None) -> Batch:
        """Return `count` samples of the run, from `first` on, each `every` after the one before.

        In all views that the run has of them, or in the first `views`.
        """
        views = self.frames.views if views is None else views
        numbers = range(first, first + count * every, every)
        return self._seen([self._usable(number) for number in numbers], numbers, views)

    def met(self, images: Reals, places: NDArray[np.int64], checksums: NDArray[np.uint64]) -> Batch:
        """Return images that other processes have decoded as a batch: windows, places in the order of the files, checksums.

        The batch has the checksums that were known here before. Raises `LnetError` for a place that there is not.
        """
        for place, found in zip(places.tolist(), checksums.tolist(), strict=True):
            if not place < self.count:
                read = f"another process has read image {place + 1:,}, and there are {self.count:,} here"
                raise other_images(read)
            self.checksums.agrees(place, found, elsewhere=True)
        return self._described(images, places)

    def ordered(self, batch: int) -> Iterator[Batch]:
        """Yield batches of every image once, in the order of the files: central windows, not mirrored."""
        places = filter(self.decodable, range(self.count))
        while some := list(islice(places, batch)):
            yield self.at(some)

    def in_order(self, first: int, count: int) -> Batch | None:
        """Return those of so many images that can be decoded, in the order of the files; None if none can.

        Cropped and mirrored as the data set says, with the same random numbers at each call.
        """
        places = range(first, min(first + count, self.count))
        found = [(place, self._pixels(place)) for place in places]
        samples = [(place, pixels) for place, pixels in found if pixels is not None]
        return self._seen(samples, [place for place, _ in samples], views=1) if samples else None

    def targets(self, places: Sequence[int], at: Mapping[str, Region] | None = None) -> dict[str, Reals]:
        """Return the targets of images at places, `[n, rows, columns, maps]` by path: all of each, or a region."""
        return self.catalog.targets(places, at)

    @property
    def figures(self) -> DatasetFigures | None:
        """The figures of a data set by which images are normalised, if they are."""
        how = self.frames.normalize
        return how if isinstance(how, DatasetFigures) else None

    def normalize_by(self, figures: DatasetFigures) -> None:
        """Normalise images by the figures of a data set from now on."""
        self.frames = replace(self.frames, normalize=figures)

    def decodable(self, place: int) -> bool:
        """Whether the image at a place in the order of the files can be decoded."""
        return self._pixels(place) is not None

    def at(self, places: Iterable[int]) -> Batch:
        """Return the images at places in the order of the files: their central windows, not mirrored.

        Raises `LnetError` if one of them cannot be decoded.
        """
        places = list(places)
        return self._normalized(places, stacked([self._central(place) for place in places], self.dtype))

    def central(self, place: int) -> Pixels | None:
        """Return the central window of an image, neither mirrored nor normalised; None if it cannot be decoded."""
        pixels = self._pixels(place)
        return None if pixels is None else window(pixels, self.frames.size, None, mirrored=False)

    def _central(self, place: int) -> Pixels:
        found = self.central(place)
        if found is None:
            reason = str(self._corrupt[place])
            raise refused("E706", f"{self._called(place)} cannot be decoded", reason)
        return found

    def _seen(self, samples: Sequence[tuple[int, Pixels]], numbers: Iterable[int], views: int) -> Batch:
        """Return samples, each a place and its image, as the run sees them: one view after the other."""
        each = np.repeat(np.fromiter(numbers, np.int64), views)
        view = np.tile(np.arange(views), len(samples))
        frames, seen = self.frames, [sample for sample in samples for _ in range(views)]
        crops = uniform(self.seed, each, view, _CROPS, 3)
        zooms = zooms_of(frames.augment, self.seed, each, view)
        windows = [self._window(pixels, *of) for (_, pixels), *of in zip(seen, crops, zooms, strict=True)]
        images = augmented(stacked(windows, self.dtype), frames.augment, self.seed, each, view)
        return self._normalized([place for place, _ in seen], images)

    def _window(self, pixels: Pixels, crop: NDArray[np.float64], zoom: tuple[Zoom, Draws] | None) -> Pixels:
        down, right, mirror = crop.tolist()
        mirrored = self.frames.flip and mirror < 0.5
        if zoom is None:
            at_random = (down, right) if self.frames.crop == "random" else None
            return window(pixels, self.frames.size, at_random, mirrored)
        whole = pixels[:, ::-1] if mirrored else pixels
        return zoomed(zoom[0], whole, self.frames.size, zoom[1])

    def _usable(self, number: int) -> tuple[int, Pixels]:
        """Return the image of a sample: the first decodable one in the pass's order, from its own place on."""
        unclear = 0
        for offset in range(self.count):
            position = (number + offset) % self.count
            place = image_at(self.order, self.seed, number // self.count, position, self.count)
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
            f"'{self.catalog.shown(place)}': {reason}",
        )

    def _pixels(self, place: int) -> Pixels | None:
        """Return an image, scaled to cover the window; None if it is corrupt."""
        if place in self._corrupt:
            return None
        if place in self._cache:
            return self._cache[place]
        try:
            found = self.catalog.load(place)
        except Corrupt as error:
            self._check(place, error.checksum, str(error))
            self._corrupt[place] = error
            return None
        try:
            for at, loaded in {**found.passed, place: found}.items():
                self._check(at, loaded.checksum)
                self._keep(at, prepare(loaded.pixels, self.frames))
            return prepare(found.pixels, self.frames)
        except Corrupt as error:
            self._corrupt[place] = error
            return None

    def check(self, place: int) -> None:
        """Read an image; raises `LnetError` if its checksum is not the recorded one."""
        try:
            self._check(place, self.catalog.load(place).checksum)
        except Corrupt as error:
            self._check(place, error.checksum, str(error))

    @property
    def _where(self) -> str:
        return f"in '{self.frames.path}'" if self.frames.path else "in memory"

    def _called(self, place: int) -> str:
        name = self.catalog.shown(place)
        return f"the image '{name}' {self._where}" if name == self.names[place] else f"the image '{name}'"

    def _check(self, place: int, found: int, *notes: str) -> None:
        if self.checksums.agrees(place, found):
            return
        name = self._called(place)
        if self.checksums[place] == UNREADABLE:
            raise other_images(f"{name} could not be read the first time, and now it can", *notes)
        if found == UNREADABLE:
            raise other_images(f"{name} was read before, and now it cannot be", *notes)
        raise other_images(f"{name} has changed since it was first read", *notes)

    def _keep(self, place: int, pixels: Pixels) -> None:
        with self._lock:
            if place not in self._cache and pixels.nbytes <= self._room:
                self._cache[place] = pixels
                self._room -= pixels.nbytes

    def _normalized(self, places: Sequence[int], images: Reals) -> Batch:
        return self._described(normalize(images, self.frames.normalize), np.array(places, np.int64))

    def _described(self, images: Reals, places: NDArray[np.int64]) -> Batch:
        numbers = places.tolist()
        labels = None if self.classes is None else self._numbers[self.catalog.labelled(numbers)]
        names = tuple(self.names[place] for place in numbers)
        targets = self.targets(numbers) if self.with_targets else {}
        return Batch(images, labels, names, self.checksums.at(places), places, targets)


def open_frames(
    frames: Frames,
    channels: int,
    base: Path,
    seed: int,
    cache_bytes: int = CACHE_BYTES,
    kept: Kept | None = None,
    classes: Classes = order_classes,
    hint: str | None = None,
    indexing: Callable[[str | None], Indexing] = Indexing,
    dtype: str = "float32",
) -> Dataset:
    """Open the images that a plan names, relative to `base`; raises `LnetError`.

    `channels` is 1 or 3; up to `cache_bytes` of decoded images are kept in memory. `kept` is the record of the run that they
    belong to; `classes` orders the classes of a new run. `hint`: the hint if the path does not exist; `indexing`: what this
    process does about the index of many images, given the one that the run names; `dtype`: of the network's numbers.
    """
    kept = kept or Kept()
    request = requested(frames, channels, base, kept.listing, hint, dtype)
    catalog, order = open_catalog(request, indexing(kept.index)), ordering(kept, classes, frames, base)
    return Dataset(frames, catalog, seed, cache_bytes, order, kept.order, dtype)


def requested(
    frames: Frames,
    channels: int,
    base: Path,
    rules: int = NEWEST,
    hint: str | None = None,
    dtype: str = "float32",
) -> Request:
    """Return what images `frames` asks for, relative to `base`; raises `LnetError`.

    `rules`: the number of the listing rules; the others as in `open_frames`.
    """
    check_channels(channels)
    excluded = read_exclusion(None if frames.exclude is None else base / frames.exclude)
    location = located(frames.path, base, hint)
    place = Place(location.root, (), channels, listing(rules), frames.labels, location.array, dtype)
    return Request(location, frames, place, excluded)


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
        frames = replace(frames, crop="center", flip=False, normalize="none", augment=())
    kept = kept or Kept()
    catalog = Listed([source], {}, frames, Exclusion())
    order = ordering(kept, classes, frames, base)
    return Dataset(frames, catalog, seed, classes=order, order=kept.order, dtype=source.dtype)


def ordering(kept: Kept, classes: Classes, frames: Frames, base: Path) -> Classes:
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
        raise refused("E705", message, hint=NO_IMAGES)


class Labelled(Protocol):
    """Data with or without labels."""

    @property
    def contents(self) -> Contents: ...

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of their numbers."""


def check_labels(images: Labelled, readouts: Sequence[Readout], which: str = "") -> None:
    """Raise `LnetError` where an objective needs labels and the images have none; `which` they are, for the message."""
    if images.classes is not None or not readouts:
        return
    if images.contents.path is None:
        hint = "give them beside the images: lnet.train(plan, data=images, labels=labels)"
        if ARRAY_SET in images.contents.sources:
            hint = "give them beside the values: lnet.Arrays(x, labels=labels)"
    elif images.contents.sources.keys() <= {ARRAY_SET}:
        hint = 'name the array that has them: arrays(..., labels = "labels")'
    elif images.contents.sources.keys() <= {ARRAY_FILE}:
        hint = "keep them beside the images: np.savez('images.npz', images=images, labels=labels)"
    else:
        hint = "give 'frames' the argument 'labels = folder', or 'labels = file' for labels that stand beside images"
    message = f"the objective '{readouts[0].objective}' needs labels, and the images{which} have none"
    raise refused("E707", message, hint=hint)
