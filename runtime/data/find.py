"""From the path of `frames(...)` to sources: a folder, a file or a pattern."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from pathlib import Path, PurePosixPath

from lnet.dsl.diagnostics import LnetError, refused

from .compressed import COMPRESSED, check_compression
from .contents import by_suffix
from .listing import Listing, listing, suffix_of
from .samples import ImageSource, Place
from .sources import SOURCES, Source, source_of, suffixes


@dataclass(frozen=True)
class Found:
    """The sources of images at a path, and the counts of other files by suffix."""

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

    With `labelled`, labels beside images are read; `rules` decide which files count as images; `hint` is the hint if the
    path does not exist.
    """
    rules = rules or listing()
    root, names = _matches(path, base, hint)
    kinds = {name: source_of(root / name, rules) for name in names}
    known = [name for name in names if kinds[name] or suffix_of(name) in COMPRESSED]
    if not known and root / names[0] == base / path:
        raise _no_source(root / names[0])
    place = Place(root, (), channels, rules, labelled)
    sources = tuple(_opened(place, known, kinds))
    ignored = Counter(map(suffix_of, set(names) - set(known)))
    for source in sources:
        ignored.update(source.ignored)
    if not any(len(source.names) for source in sources):
        raise _nothing(path, base, ignored, rules)
    return Found(sources, ignored)


def _matches(path: str, base: Path, hint: str | None) -> tuple[Path, list[str]]:
    """Return a folder and the paths in it that match a path or pattern, each once."""
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


def _opened(place: Place, names: Sequence[str], kinds: Mapping[str, Source | None]) -> Iterator[ImageSource]:
    """Yield the sources of files and folders, in their order; adjacent image files share one."""
    for source, some in groupby(names, kinds.__getitem__):
        if source is None:
            check_compression(place.root / next(some))  # refuses it
        elif source.together:
            yield source.images(replace(place, names=tuple(some)))
        else:
            yield from (source.images(replace(place, names=(name,))) for name in some)


# --- no images ---------------------------------------------------------------------------------------------------------


def _no_source(path: Path) -> LnetError:
    first, *others, last = (source.name for source in SOURCES)
    return refused("E702", f"'{path}' is neither a {first} nor an {', '.join(others)} or {last} file")


def _nothing(path: str, base: Path, ignored: Counter[str], rules: Listing) -> LnetError:
    """Return the error for a path without images; it lists what is there instead."""
    message = f"there are no images in '{path}'"
    notes = [f"there are other files: {by_suffix(ignored)}"] if ignored else []
    kinds = " ".join(sorted(rules.suffixes | suffixes()))
    notes.append(f"what counts as images: {kinds}; hidden files do not")
    inside = source_of(base / path, rules)
    repacked = None if inside is None else inside.repacked
    for suffix, count in ignored.most_common():
        if suffix in COMPRESSED and repacked is None:
            where = _pattern(path, base, suffix)
            hint = f"unpack them once: {COMPRESSED[suffix]} --keep {where}"
            return refused("E711", f"{message}, but compressed files: {count:,} {suffix}", hint=hint)
        if suffix in suffixes() | COMPRESSED.keys():
            holding = f"{message}, but files that may hold some: {count:,} {suffix}"
            hint = _name(path, base, suffix) if repacked is None else repacked(path)
            return refused("E712", holding, hint=hint)
    return refused("E702", message, *notes)


def _name(path: str, base: Path, suffix: str) -> str:
    return f"name them with a pattern: '{_pattern(path, base, suffix)}'"


def _pattern(path: str, base: Path, suffix: str) -> str:
    if glob.has_magic(path) or not (base / path).is_dir():
        return path
    deep = not any(suffix_of(entry.name) == suffix for entry in (base / path).iterdir())
    return f"{path.rstrip('/')}/{'**/' if deep else ''}*{suffix}"
