"""From the path of `frames(...)` to sources: a folder, a file or a pattern that matches several."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path, PurePosixPath

from lnet.dsl.diagnostics import LnetError, refused

from .archives import Tar, Zip
from .array_files import open_arrays
from .compressed import COMPRESSED, check_compression
from .contents import by_suffix
from .files import files_in, files_named
from .sources import ARCHIVES, ARRAYS, VIDEOS, ImageSource, Listing, listing, suffix_of
from .video import Video


@dataclass(frozen=True)
class Found:
    """The sources of images that a path leads to, and how many files among them are no images, by suffix."""

    sources: tuple[ImageSource, ...]
    ignored: Counter[str]


def find_sources(
    path: str,
    channels: int,
    base: Path,
    labelled: bool = False,
    rules: Listing | None = None,
    hint: str | None = None,
) -> Found:
    """Return the sources that a path or pattern, relative to `base`, names; raises `LnetError`.

    With `labelled` the labels that stand beside images are read; `rules` say which files count as images, `hint` what to
    do if there is nothing of that name.
    """
    opening = _Opening(channels, labelled, rules or listing())
    root, names = _matches(path, base, hint)
    known = [name for name in names if opening.knows(root / name)]
    if not known and root / names[0] == base / path:
        message = f"'{root / names[0]}' is neither a folder nor an image, archive, array or video file"
        raise refused("E702", message)
    sources = tuple(opening.sources(root, known))
    ignored = Counter(map(suffix_of, set(names) - set(known)))
    for source in sources:
        ignored.update(source.ignored)
    if not any(len(source.names) for source in sources):
        raise _nothing(path, base, ignored, opening.rules)
    return Found(sources, ignored)


def _matches(path: str, base: Path, hint: str | None) -> tuple[Path, list[str]]:
    """Return a folder and the paths in it that a path or pattern matches, each once."""
    place = base / path
    if place.is_dir():
        return place, ["."]
    if place.exists():
        return place.parent, [place.name]
    parts = Path(path).parts
    fixed = list(takewhile(lambda part: not glob.has_magic(part), parts))
    if len(fixed) == len(parts):
        raise refused(
            "E701",
            f"there is no file or folder '{path}'",
            f"looked for in '{base}'",
            hint=hint
            or "a path in a .lnet file is relative to that file, one of a command to the current folder",
        )
    root = base.joinpath(*fixed)
    pattern = str(Path(*parts[len(fixed) :]))
    found = {PurePosixPath(match) for match in glob.glob(pattern, root_dir=root, recursive=True)}
    names = [str(name) for name in found if not found.intersection(name.parents)]
    if not names:
        raise refused(
            "E701", f"nothing matches the pattern '{path}'", f"looked for in '{base}'", hint=hint or ()
        )
    return root, sorted(names)


@dataclass(frozen=True)
class _Opening:
    """How what is found is opened."""

    channels: int
    labelled: bool
    rules: Listing

    def knows(self, path: Path) -> bool:
        """Whether a file is of a kind that holds images, or would if it were not compressed."""
        kinds = ARCHIVES | ARRAYS | VIDEOS | self.rules.suffixes | COMPRESSED.keys()
        return path.is_dir() or suffix_of(path.name) in kinds

    def sources(self, root: Path, names: Sequence[str]) -> Iterator[ImageSource]:
        """Yield what opens files and folders of `root`, in their order; images beside one another are one source."""
        for images, some in groupby(names, lambda name: self._is_image(root / name)):
            if images:
                yield files_named(root, list(some), self.channels, self.labelled)
            else:
                yield from (self._open(root, name) for name in some)

    def _is_image(self, path: Path) -> bool:
        return self.rules.is_image(path.name) and not path.is_dir()

    def _open(self, root: Path, name: str) -> ImageSource:
        path, suffix = root / name, suffix_of(name)
        if path.is_dir():
            return files_in(root, name, self.channels, self.rules, self.labelled)
        check_compression(path)
        if suffix == ".tar":
            return Tar(path, self.channels, self.rules, self.labelled)
        if suffix == ".zip":
            return Zip(path, self.channels, self.rules, self.labelled)
        if suffix in ARRAYS:
            return open_arrays(path, name, self.channels)
        return Video(path, name, self.channels)


# --- no images ---------------------------------------------------------------------------------------------------------


def _nothing(path: str, base: Path, ignored: Counter[str], rules: Listing) -> LnetError:
    """Return the error for a path without images; it says what is there instead."""
    message = f"there are no images in '{path}'"
    kinds = " ".join(sorted(rules.suffixes | ARCHIVES | ARRAYS | VIDEOS))
    notes = [f"there are other files: {by_suffix(ignored)}"] if ignored else []
    notes.append(f"what counts as images: {kinds}; hidden files do not")
    in_archive = suffix_of(path) in ARCHIVES
    for suffix, count in ignored.most_common():
        if suffix in COMPRESSED and not in_archive:
            where = _pattern(path, base, suffix)
            hint = f"unpack them once: {COMPRESSED[suffix]} --keep {where}"
            return refused("E711", f"{message}, but compressed files: {count:,} {suffix}", hint=hint)
        if suffix in ARCHIVES | ARRAYS | VIDEOS | COMPRESSED.keys():
            holding = f"{message}, but files that may hold some: {count:,} {suffix}"
            return refused("E712", holding, hint=_unpack(path) if in_archive else _name(path, base, suffix))
    return refused("E702", message, *notes)


def _unpack(path: str) -> str:
    folder = PurePosixPath(path).stem
    tool = f"tar -xf '{path}' -C '{folder}'" if suffix_of(path) == ".tar" else f"unzip '{path}' -d '{folder}'"
    return (
        f"what is packed twice is unpacked once: mkdir '{folder}' && {tool}; then name what is in '{folder}'"
    )


def _name(path: str, base: Path, suffix: str) -> str:
    return f"name them with a pattern: '{_pattern(path, base, suffix)}'"


def _pattern(path: str, base: Path, suffix: str) -> str:
    if glob.has_magic(path):
        return path
    deep = not any(suffix_of(entry.name) == suffix for entry in (base / path).iterdir())
    return f"{path.rstrip('/')}/{'**/' if deep else ''}*{suffix}"
