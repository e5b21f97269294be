"""The inventory of a run's images, in their order: name, size, label and modification time of each.

    run.json          digest   of names, sizes and labels: where it is the same, the lists are
                      times    a digest of the times; a copy of the images has others
    inventory.gz      name, size, label and time of every image, to say which one differs; of many images the index is
                      this list

Fields end with a zero byte, which no name of a file contains.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from lnet.compiler.files import written_aside
from lnet.dsl.diagnostics import LnetError, refused

FILE = "inventory.gz"
_BEGINNING = "2:"
"""Of a digest with the texts of labels. One without had their numbers, which depended on the network."""
_CHUNK = 10_000
"""Images that are digested, written or read at once."""


class Stored(NamedTuple):
    """A stored image: size in bytes (-1: unknown), label, modification time (nanoseconds, 0: unknown)."""

    name: str
    size: int
    label: str | None
    time: int


class Digests:
    """Digests of a list of images, and of their times, that is given in parts."""

    def __init__(self) -> None:
        self._images, self._times = blake2b(digest_size=16), blake2b(digest_size=16)

    def add(self, images: Iterable[tuple[str, int, str | None, int]]) -> None:
        """Add images: name, size, label and time of each, as in `Stored`."""
        images = iter(images)
        while some := list(islice(images, _CHUNK)):
            lines = "".join([f"{name}\0{size}\0{label or ''}\0" for name, size, label, _ in some])
            self._images.update(lines.encode("utf-8", "surrogateescape"))
            self._times.update("".join([f"{time}\0" for _, _, _, time in some]).encode())

    @property
    def images(self) -> str:
        return _BEGINNING + self._images.hexdigest()

    @property
    def times(self) -> str:
        return self._times.hexdigest()


class Inventory:
    """All images of a run in their order; iterable again and again, through `images`."""

    def __init__(
        self, images: Callable[[], Iterator[Stored]], digests: tuple[str, str] | None = None
    ) -> None:
        self._images, self._digests = images, digests

    def __iter__(self) -> Iterator[Stored]:
        return self._images()

    @property
    def digest(self) -> str:
        """A digest of names, sizes and labels."""
        return self._both[0]

    @property
    def times(self) -> str:
        """A digest of the times of the files."""
        return self._both[1]

    @property
    def _both(self) -> tuple[str, str]:
        if self._digests is None:
            digests = Digests()
            digests.add(self)
            self._digests = digests.images, digests.times
        return self._digests

    def like(self, digest: str | None, numbers: Mapping[str, int]) -> Inventory:
        """Return the inventory as the run did that has this digest: with the numbers of labels in place of their texts.

        `numbers`: those of the labels' classes.
        """
        if digest is None or digest.startswith(_BEGINNING):
            return self
        return _Numbered(
            lambda: (
                stored._replace(label=str(-1 if stored.label is None else numbers[stored.label]))
                for stored in self
            )
        )

    def write(self, folder: Path) -> None:
        """Write the list into a run's directory; raises OSError."""
        lines = (f"{s.name}\0{s.size}\0{s.label or ''}\0{s.time}\0" for s in self)
        with (
            written_aside(folder / FILE) as file,
            gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed,
        ):
            while some := "".join(islice(lines, _CHUNK)):
                packed.write(some.encode("utf-8", "surrogateescape"))

    def difference(self, was: Iterable[Stored]) -> str | None:
        """Return a description of the first changed image; None if none changed."""
        before = iter(was)
        for number, (now, then) in enumerate(zip_longest(self, before), 1):
            if now is None or then is None or (now.name, now.size) != (then.name, then.size):
                return self._differing(number, now, then, before)
            if (now.label or None) != (then.label or None):
                return f"'{now.name}' has another label than it had"
        return None

    def _differing(self, number: int, now: Stored | None, then: Stored | None, rest: Iterable[Stored]) -> str:
        if now is not None and then is not None and now.name == then.name:
            return f"'{now.name}' has {now.size:,} bytes, and had {then.size:,}"
        if then is not None and not any(other.name == then.name for other in self):
            return f"'{then.name}', image {number:,} of the run, is missing"
        if now is not None and not any(other.name == now.name for other in rest):
            return f"'{now.name}' was not among them"
        named = now or then
        assert named is not None, "zip_longest: one of the two is there"
        return f"from '{named.name}' on they have another order"


class _Numbered(Inventory):
    @property
    def digest(self) -> str:
        return super().digest.removeprefix(_BEGINNING)


def read_inventory(folder: Path) -> Iterator[Stored]:
    """Yield the images of a list that was written into a run's directory; raises OSError and ValueError."""
    with gzip.open(folder / FILE, "rb") as file:
        fields = _fields(file)
        for name in fields:
            size, label, time = islice(fields, 3)
            yield Stored(
                name.decode("utf-8", "surrogateescape"),
                int(size),
                label.decode("utf-8", "surrogateescape") or None,
                int(time),
            )


def _fields(file: gzip.GzipFile) -> Iterator[bytes]:
    rest = b""
    while block := file.read(2**20):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
    if rest:
        raise ValueError("it ends within an image")


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
