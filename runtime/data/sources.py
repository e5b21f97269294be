"""The kinds of image sources. A source is registered in `SOURCES` and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from lnet.compiler.plugins.identity import Plugin
from lnet.compiler.plugins.registry import readers
from lnet.dsl.diagnostics import LnetError, refused

from . import array_files, video
from .archives import open_archive, unpacking
from .array_files import ARRAY_FILE, holds_arrays, open_arrays
from .compressed import check_compression
from .files import open_files, open_folder
from .listing import ARCHIVES, Listing, suffix_of
from .lists import open_list
from .samples import ImageSource, Place, Samples, opened

Opener = Callable[[Place], Samples]
Takes = Callable[[Path, Listing], bool]


@dataclass(frozen=True)
class Source:
    """A kind of image source; raises ValueError for one that could open nothing.

    It opens files with one of its `suffixes`, in small letters, or whatever a test `takes`. A folder is searched for images,
    and for archives where it has none: other files in it are read where a pattern names them.

        name      "neither a folder nor an image, archive, array, video or NAME file"
        kind      what a run's first sentence counts: "2 raw files"
        sample    and what one of its samples is there: "image", "frame"
        together  whether files of it beside one another are opened as one
        stored    whether its samples are `Files` or an `Archive`, which an index lists (index_file.py)
        repacked  what to do with one that holds files of other sources in place of images
    """

    name: str
    kind: str
    open: Opener
    suffixes: Collection[str] = ()
    takes: Takes | None = None
    sample: str = "image"
    together: bool = False
    stored: bool = False
    repacked: Callable[[str], str] | None = None

    def __post_init__(self) -> None:
        if not self.suffixes and self.takes is None:
            raise ValueError(f"the source '{self.name}' has neither suffixes nor 'takes'")
        for suffix in self.suffixes:
            if suffix_of(f"file{suffix}") != suffix:
                raise ValueError(f"the source '{self.name}' has '{suffix}' as a suffix, which no file has")

    def opens(self, path: Path, rules: Listing) -> bool:
        """Whether this source opens a path."""
        if self.takes is not None:
            return self.takes(path, rules)
        return suffix_of(path.name) in self.suffixes and not path.is_dir()

    def images(self, place: Place) -> ImageSource:
        """Open a place; raises `LnetError`."""
        where = f"'{place.path}'"
        try:
            samples = self.open(place)
        except LnetError:
            raise
        except Exception as error:
            message = f"{where} ({self.kind}) could not be opened"
            raise refused("E717", message, f"{type(error).__name__}: {error}") from error
        return opened(samples, self.kind, where, place.channels, place, dtype=place.dtype)


def _is_folder(path: Path, rules: Listing) -> bool:
    return path.is_dir()


def _is_image(path: Path, rules: Listing) -> bool:
    return rules.is_image(path.name) and not path.is_dir()


def _plain(open: Opener) -> Opener:
    """Refuse compressed files before opening them, whatever their suffix."""

    def checked(place: Place) -> Samples:
        if not place.path.is_dir():
            check_compression(place.path)
        return open(place)

    return checked


SOURCES: list[Source] = [
    Source("folder", "folder", open_folder, takes=_is_folder, stored=True),
    Source("image", "file", open_files, takes=_is_image, together=True, stored=True),
    Source("archive", "archive", _plain(open_archive), ARCHIVES, stored=True, repacked=unpacking),
    Source("list", "list", _plain(open_list), (".csv",), stored=True),
    Source("array", ARRAY_FILE, _plain(open_arrays), array_files.SUFFIXES, takes=holds_arrays),
    Source("video", "video", _plain(video.open_video), video.SUFFIXES, sample="frame"),
]
"""All sources; of several that can open a path, the last one opens it."""


ARRAY_SET = "array set"
"""What a run's first sentence counts of `arrays(...)` (array_sets.py), which this table does not open."""


def source_of(path: Path, rules: Listing) -> Source | None:
    """Return the source that opens a path; None if none does."""
    return next((source for source in reversed(SOURCES) if source.opens(path, rules)), None)


def plugins_of(kinds: Collection[str]) -> tuple[Plugin, ...]:
    """Return the plug-ins that brought sources of some kinds."""
    return readers(source.name for source in SOURCES if source.kind in kinds)


def suffixes() -> frozenset[str]:
    """Return the suffixes of image files, except those of single images."""
    return frozenset(suffix for source in SOURCES for suffix in source.suffixes)


def samples_of(kinds: Iterable[str]) -> str:
    """Return the word for samples of these kinds of sources: `image`, `frame`, `image or frame`."""
    called = {source.kind: source.sample for source in SOURCES} | {ARRAY_SET: "sample"}
    nouns = {called.get(kind, "image") for kind in kinds} or {"image"}
    return " or ".join(sorted(nouns, key=lambda noun: (noun != "image", noun)))
