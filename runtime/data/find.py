"""From the path of `frames(...)` to sources: a folder, a file or a pattern."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby, takewhile
from pathlib import Path, PurePosixPath
from shlex import quote

from lnet.dsl.diagnostics import LnetError, refused

from .compressed import COMPRESSED, check_compression
from .contents import by_suffix
from .files import Files
from .listing import given_path, suffix_of
from .samples import ImageSource, Place
from .sources import SOURCES, Source, source_of, suffixes

_RANGE = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}")
_ARRAY = re.compile(r"(.+?\.(?:npz|h5|hdf5|zarr|zarr\.zip)):(.+)")


@dataclass(frozen=True)
class Location:
    """A folder (`inside`: `.`), a file in `root` (its name), or a pattern of paths in it, which may have ranges.

    `path` is what `frames(...)` names, relative to `base`; `hint`: the hint of the error if nothing is there; `array`: the
    array that is named in the files, `train/data` of `file.h5:train/data`.
    """

    path: str
    base: Path
    root: Path
    inside: str
    pattern: bool = False
    hint: str | None = None
    array: str | None = None

    def names(self) -> list[str]:
        """Return the paths in `root` that are meant, sorted, each once; raises `LnetError` if a pattern matches none."""
        if not self.pattern:
            return [self.inside]
        patterns = list(spelled_out(self.inside))
        matches = {pattern: self._matching(pattern) for pattern in patterns}
        missing = [pattern for pattern in patterns if not matches[pattern]]
        if missing:
            message = f"nothing matches the pattern '{self.path}'"
            if len(patterns) > 1:
                message = f"of the {len(patterns):,} paths of '{self.path}' {len(missing):,} lead nowhere"
                message += f", the first is '{missing[0]}'"
            raise refused("E701", message, f"looked for in '{self.base}'", hint=self.hint or ())
        found = {PurePosixPath(match) for some in matches.values() for match in some}
        return sorted(str(name) for name in found if not found.intersection(name.parents))

    def searched(self) -> dict[str, int]:
        """Return the folders that a pattern looks into, with their modification times."""
        if not self.pattern:
            return {}
        *parents, _ = accumulate(PurePosixPath(self.inside).parts, lambda above, part: f"{above}/{part}")
        found = {"."}
        for path in {path for parent in parents for path in spelled_out(parent)}:
            found.update(match.rstrip("/") for match in self._matching(f"{path}/"))
        return {name: (self.root / name).stat().st_mtime_ns for name in sorted(found)}

    def _matching(self, pattern: str) -> list[str]:
        return glob.glob(pattern, root_dir=self.root, recursive=True)


def spelled_out(pattern: str) -> Iterator[str]:
    """Yield the paths that one with ranges stands for: `a-08.tar` to `a-11.tar` for `a-{08..11}.tar`, as in a shell."""
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last = sorted(found.groups(), key=int)
    width = max(len(first), len(last)) if re.match("0[0-9]", first) or re.match("0[0-9]", last) else 0
    for number in range(int(first), int(last) + 1):
        yield from spelled_out(f"{pattern[: found.start()]}{number:0{width}}{pattern[found.end() :]}")


def located(path: str, base: Path, hint: str | None = None) -> Location:
    """Return where a path or pattern, relative to `base`, leads; raises `LnetError` for a path that does not exist."""
    place = base / given_path(path)
    if place.is_dir():
        return Location(path, base, place, ".")
    if place.exists():
        return Location(path, base, place.parent, place.name)
    if named := _ARRAY.fullmatch(path):
        return replace(located(named[1], base, hint), path=path, array=named[2])
    parts = Path(path).parts
    fixed = list(takewhile(lambda part: not glob.has_magic(part) and not _RANGE.search(part), parts))
    if len(fixed) == len(parts):
        raise refused(
            "E701",
            f"there is no file or folder '{path}'",
            f"looked for in '{base}'",
            hint=hint
            or "a path in a .lnet file is relative to that file, one of a command to the current folder",
        )
    return Location(path, base, base.joinpath(*fixed), str(Path(*parts[len(fixed) :])), True, hint)


@dataclass
class Search:
    """The sources of images at a location, each opened when it comes up; `ignored` counts other files, by suffix.

    `place`: with the rules of the search, and without names; `searched`: the folders that a pattern looked into.
    """

    location: Location
    place: Place

    def __post_init__(self) -> None:
        root = self.location.root
        self.searched = self.location.searched()
        self.names = self.location.names()
        self.kinds = {name: source_of(root / name, self.place.rules) for name in self.names}
        self.known = [name for name in self.names if self.kinds[name] or suffix_of(name) in COMPRESSED]
        if not self.known and not self.location.pattern:
            raise _no_source(root / self.names[0])
        self.ignored = Counter(map(suffix_of, set(self.names) - set(self.known)))

    @cached_property
    def stored(self) -> bool:
        """Whether all images are files, or lie in archives."""
        return all(source is None or source.stored for source in self.kinds.values())

    def __iter__(self) -> Iterator[ImageSource]:
        """Open files and folders, in their order; adjacent image files share a source. Raises `LnetError` without images."""
        some = False
        for source in self._opened():
            self.ignored.update(source.ignored)
            some = some or len(source.names) > 0
            yield source
        if not some:
            raise self._nothing()

    def _opened(self) -> Iterator[ImageSource]:
        for source, some in groupby(self.known, self.kinds.__getitem__):
            if source is None:
                check_compression(self.place.root / next(some))  # refuses it
            elif source.together:
                yield source.images(replace(self.place, names=tuple(some)))
            else:
                for name in some:
                    yield from self._of(source, name)

    def _of(self, source: Source, name: str) -> Iterator[ImageSource]:
        """Open a path, and the archives in a folder that has no images."""
        found = source.images(replace(self.place, names=(name,)))
        yield found
        for inner in found.samples.archives if isinstance(found.samples, Files) else ():
            archive = source_of(self.place.root / inner, self.place.rules)
            if archive is not None and archive.stored:
                yield from self._of(archive, inner)
            else:
                self.ignored[suffix_of(inner)] += 1

    def _nothing(self) -> LnetError:
        """Return the error for a path without images; it lists what is there instead."""
        path, base, rules = self.location.path, self.location.base, self.place.rules
        message = f"there are no images in '{path}'"
        notes = [f"there are other files: {by_suffix(self.ignored)}"] if self.ignored else []
        kinds = " ".join(sorted(rules.suffixes | suffixes()))
        notes.append(f"what counts as images: {kinds}; hidden files do not")
        inside = source_of(base / path, rules)
        repacked = None if inside is None else inside.repacked
        for suffix, count in self.ignored.most_common():
            if suffix in COMPRESSED and repacked is None:
                where = path if self.location.pattern else quote(path)
                hint = f"unpack them once: find {where} -name '*{suffix}' -exec {COMPRESSED[suffix]} --keep {{}} +"
                return refused("E711", f"{message}, but compressed files: {count:,} {suffix}", hint=hint)
            if suffix in suffixes() | COMPRESSED.keys():
                holding = f"{message}, but files that may hold some: {count:,} {suffix}"
                hint = _name(path, base, suffix) if repacked is None else repacked(path)
                return refused("E712", holding, hint=hint)
        return refused("E702", message, *notes)


# --- no images ---------------------------------------------------------------------------------------------------------


def _no_source(path: Path) -> LnetError:
    first, *others, last = (source.name for source in SOURCES)
    return refused("E702", f"'{path}' is neither a {first} nor an {', '.join(others)} or {last} file")


def _name(path: str, base: Path, suffix: str) -> str:
    return f"name them with a pattern: '{_pattern(path, base, suffix)}'"


def _pattern(path: str, base: Path, suffix: str) -> str:
    if glob.has_magic(path) or not (base / path).is_dir():
        return path
    deep = not any(suffix_of(entry.name) == suffix for entry in (base / path).iterdir())
    return f"{path.rstrip('/')}/{'**/' if deep else ''}*{suffix}"
