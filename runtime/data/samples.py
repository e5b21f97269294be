"""Samples: images by number, from a source or given in Python, and their checks on opening."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lnet.dsl.diagnostics import LnetError, refused

from .arrays import as_array, check_image, label_texts
from .checksums import checksum
from .listing import Listing, stat_of
from .pixels import Corrupt, Loaded, with_channels
from .reads import Reads


class Samples(Protocol):
    """Images by number, requested by several threads in any order.

    Beside length and items it may have

        names     a text for each; without them they go by their numbers, `[0]`, `[1]`
        labels    an integer or a text for each
        stats     the bytes of each as it is stored, and when its file was last changed, in nanoseconds
        ignored   how many other files are among the images, by suffix
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any:
        """Return an image `[rows, columns, 1 or 3]`, uint8 or float in 0..1, the same on every call.

        Or `Loaded`: with the network's channels, and a checksum of what it was decoded from. Raises `Corrupt` for one that
        cannot be decoded, which is skipped.
        """


@dataclass(frozen=True)
class Place:
    """The paths that a source opens, relative to `root`: one, or several if the source opens files `together`.

    `channels`: 1 or 3, those of the network's input; `rules` say which files count as images; `labels`: None, "folder" or
    "file", as in `frames(...)`; `array`: the path of an array in a file of several, if one is named; `dtype`: of the
    network's numbers; `reads`: open files of this data set.
    """

    root: Path
    names: tuple[str, ...]
    channels: int
    rules: Listing
    labels: str | None = None
    array: str | None = None
    dtype: str = "float32"
    reads: Reads = field(default_factory=Reads, compare=False, repr=False)

    @property
    def path(self) -> Path:
        return self.root / self.names[0]

    @property
    def prefix(self) -> str:
        """The prefix of the names of samples that have none of their own."""
        if self.array is not None:
            return f"{self.names[0]}:{self.array}"
        return "" if self.names[0] == "." else self.names[0]

    @property
    def labelled(self) -> bool:
        """Whether labels are asked for."""
        return self.labels is not None

    def stat(self) -> tuple[int, int]:
        """Return the size of the files in bytes, and the latest modification time in nanoseconds."""
        sizes, times = zip(*(stat_of(self.root / name) for name in self.names), strict=True)
        return sum(sizes), max(times)


@dataclass(frozen=True)
class ImageSource:
    """Checked samples: each has a name; all or none have labels.

    `kind`: what to call them, `where`: their place in messages, `place`: None in memory. With `shape` they are
    prepared: all have it, and any values. Real numbers become those of `dtype`.
    """

    samples: Samples
    kind: str
    where: str
    channels: int
    names: Sequence[str]
    labels: Sequence[str] | None
    place: Place | None
    shape: tuple[int, int, int] | None
    dtype: str = "float32"

    @property
    def stats(self) -> Sequence[tuple[int, int]]:
        """The stored size of each image in bytes, and its modification time in nanoseconds; 0: not in a file."""
        found = getattr(self.samples, "stats", None)
        if found is None:
            return [(0, 0) if self.place is None else self.place.stat()] * len(self.names)
        _check_count(found, "stats", len(self.names), f"{self.where} ({self.kind})")
        return found  # type: ignore[no-any-return]

    @property
    def ignored(self) -> Mapping[str, int]:
        """How many other files are among the images, by suffix."""
        return getattr(self.samples, "ignored", None) or {}

    def load(self, index: int) -> Loaded:
        """Return an image; raises `Corrupt`, and `LnetError` for other objects."""
        try:
            found = self.samples[index]
        except (Corrupt, LnetError):
            raise
        except Exception as error:
            message = f"{self._called(index)} could not be read"
            raise refused("E717", message, f"{type(error).__name__}: {error}") from error
        return found if isinstance(found, Loaded) else self._as_loaded(found, index)

    def _as_loaded(self, found: Any, index: int) -> Loaded:
        expected, name = "an image [rows, columns, channels]", f"'{self.names[index]}' of {self.where}"
        if isinstance(found, tuple):
            hint = "labels stand in 'labels' of the object, one for each image"
            raise refused("E716", f"expected {expected}, and nothing beside it, as {name}", hint=hint)
        stored = np.ascontiguousarray(as_array(found, name, expected))
        check_image(stored, self._called(index), self.shape)
        in_bytes = stored.dtype == np.uint8 and self.shape is None
        pixels = stored if in_bytes else stored.astype(self.dtype, copy=False)
        return Loaded(with_channels(pixels, self.channels), checksum(stored))

    def _called(self, index: int) -> str:
        return f"the image '{self.names[index]}' of {self.where}"


def opened(
    samples: Any,
    kind: str,
    where: str,
    channels: int,
    place: Place | None = None,
    labels: Any = None,
    shape: tuple[int, int, int] | None = None,
    dtype: str = "float32",
) -> ImageSource:
    """Return samples as a source; raises `LnetError` for samples, names or labels that are missing or do not match.

    `labels`: for samples without labels of their own.
    """
    what = f"{where} ({kind})"
    count = _count(samples, what)
    names = _names(samples, count, what, "" if place is None else place.prefix)
    labels = getattr(samples, "labels", None) if labels is None else labels
    if labels is not None and not _are_texts(labels, count):
        labels = label_texts(labels, count, where)
    return ImageSource(samples, kind, where, channels, names, labels, place, shape, dtype)


def _count(samples: Any, what: str) -> int:
    if not hasattr(type(samples), "__getitem__"):
        raise _no_samples(f"{what} cannot be asked for an image by its number", "samples[i]")
    try:
        return len(samples)
    except (TypeError, ValueError) as error:
        raise _no_samples(f"{what} has no length", str(error)) from error


def _names(samples: Any, count: int, what: str, prefix: str) -> Sequence[str]:
    names = getattr(samples, "names", None)
    if names is None:
        return [f"{prefix}[{number}]" for number in range(count)]
    _check_count(names, "names", count, what)
    for number, name in enumerate(names):
        if not isinstance(name, str) or "\0" in name:
            raise _no_samples(f"the name of image {number:,} of {what} is not text", f"it is {name!r}")
    return names  # type: ignore[no-any-return]


def _check_count(found: Any, name: str, count: int, what: str) -> None:
    """Raise `LnetError` unless there is one for each image."""
    many = len(found) if hasattr(found, "__len__") else type(found).__name__
    if many != count:
        raise _no_samples(
            f"{what} has {count:,} images, and its {name} are {many}", f"one for each: [{count}]"
        )


def _are_texts(labels: Any, count: int) -> bool:
    return isinstance(labels, list) and len(labels) == count and all(type(label) is str for label in labels)


def _no_samples(message: str, *notes: str) -> LnetError:
    hint = "samples have len(samples) and samples[i]; if there are names, labels or stats, one for each image"
    return refused("E717", message, *notes, hint=hint)
