"""Indexes of data sets: found, checked, made.

    photos.1f0c93ab-5d0e....index    beside the data, by `lnetc index photos`
    images.1f0c93ab-5d0e....index    in the directory of a run, by `lnetc run`
           |        |
           |        digest of the file
           digest of what was asked for: path, rules, labels, names to leave out

It is written under another name, synced and renamed. Of several processes that want the same one, one writes it and the
others wait; one that is killed leaves a file that the next one removes.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

from lnet.compiler.files import sync_folder
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.process.counted import reported

from . import order
from .archives import Archive, Zip
from .catalog import Catalog, Indexed, Listed, chosen, shown
from .exclusion import Exclusion
from .files import Files
from .find import Location, Search
from .index_file import BLOCK, SUFFIX, Broken, Index, Source, Watched, Writer, read_index
from .inventory import Inventory, Stored, other_images
from .listing import stat_of
from .members import Members
from .samples import ImageSource, Place

IN_RUN = "images"
"""The beginning of the name of an index in the directory of a run."""
SAMPLED = 1000
"""Files whose size and time are compared when an index is opened."""


@dataclass(frozen=True)
class Request:
    """What is asked for: the images at a location, found by rules, labelled and left out as `frames` says."""

    location: Location
    frames: Frames
    place: Place
    excluded: Exclusion

    @property
    def wanted(self) -> dict[str, object]:
        """What an index must have been made for."""
        rules = self.place.rules
        return {
            "path": self.location.inside,
            "suffixes": sorted(rules.suffixes),
            "hidden": rules.hidden,
            "unpacked": rules.unpacked,
            "labels": self.frames.labels,
            "exclude": self.excluded.digest,
        }

    @property
    def key(self) -> str:
        return blake2b(json.dumps(self.wanted).encode(), digest_size=4).hexdigest()

    @property
    def beside(self) -> Path:
        """The path of an index beside the data, without the digests in its name."""
        place = Path(os.path.abspath(self.location.root))
        if self.location.inside != "." and not self.location.pattern:
            place /= self.location.inside
        return place.with_name(place.name or "images")

    @property
    def command(self) -> str:
        """The command that makes an index beside the data."""
        base, frames = self.location.base, self.frames
        labels = "" if frames.labels is None else f" --labels {frames.labels}"
        exclude = "" if frames.exclude is None else f" --exclude '{base / frames.exclude}'"
        return f"lnetc index '{base / self.location.path}'{labels}{exclude}"

    def search(self) -> Search:
        return Search(self.location, self.place)


@dataclass(frozen=True)
class Indexing:
    """What a process does about the index of many images.

    own       the index that a run names: a path
    stem      the beginning of the path at which it writes one if there is none; None: it writes none
    worker    it is a worker: it lists many images only where files differ from those of the run's index
    """

    own: str | None = None
    stem: Path | None = None
    worker: bool = False


def open_catalog(request: Request, indexing: Indexing) -> Catalog:
    """Return the images that are asked for, through an index if there is one; raises `LnetError`.

    Many are indexed where this process may; a worker refuses them.
    """
    stems = [request.beside] if indexing.stem is None else [indexing.stem, request.beside]
    index = _own(request, indexing) or next(filter(None, (find_index(request, stem) for stem in stems)), None)
    if index is not None:
        return Indexed(index, request.location.root, request.place.channels)
    search = request.search()
    opened: list[ImageSource] = []
    count, sources = 0, iter(search)
    for source in sources:
        opened.append(source)
        count += len(source.names)
        if count < order.MANY or not search.stored:
            continue
        if indexing.worker:
            raise _no_index(request)
        if indexing.stem is not None:
            index = make_index(request, indexing.stem, _emptying(opened, sources), search)
            return Indexed(index, request.location.root, request.place.channels)
    return Listed(opened, search.ignored, request.frames, request.excluded)


def _emptying(opened: list[ImageSource], rest: Iterator[ImageSource]) -> Iterator[ImageSource]:
    """Yield sources, and let go of each that is passed."""
    while opened:
        yield opened.pop(0)
    yield from rest


# --- found -------------------------------------------------------------------------------------------------------------


def find_index(request: Request, stem: Path) -> Index | None:
    """Return the newest index of what is asked for at a `stem`, the beginning of its path, that is still true."""
    start = f"{stem.name}.{request.key}-"
    try:
        names = [n for n in os.listdir(stem.parent) if n.startswith(start) and n.endswith(SUFFIX)]
    except OSError:
        return None
    paths = sorted((stem.with_name(name) for name in names), key=lambda path: (-stat_of(path)[1], path))
    return next(filter(None, (_true_index(path, request) for path in paths)), None)


def _true_index(path: Path, request: Request) -> Index | None:
    """Return an index if it can be read, was made for what is asked for, and no file that it watches has changed."""
    with suppress(OSError, Broken):
        index = read_index(path, request.place.reads)
        if index.contents.request == request.wanted and not _changed(index, request):
            return index
    return None


def _changed(index: Index, request: Request) -> bool:
    """Whether files differ from an index: archives, folders, and some of the image files."""
    root, contents = request.location.root, index.contents
    for path, time, size in contents.watched:
        found = stat_of(root / path)
        if found[1] != time or size not in (-1, found[0]):
            return True
    files = {number for number, source in enumerate(contents.sources) if source.kind == "files"}
    if not files:
        return request.location.pattern and request.search().known != [s.path for s in contents.sources]
    for place in random.sample(range(len(index)), min(SAMPLED, len(index))):
        record = index[place]
        if record.source in files and stat_of(root / record.name) != (record.size, record.time):
            return True
    return False


def _own(request: Request, indexing: Indexing) -> Index | None:
    """Return the index that a run names, if it is still true; a worker's must be, or have the same images."""
    if indexing.own is None:
        return None
    path = Path(indexing.own)
    if not indexing.worker:
        return _true_index(path, request)
    try:
        index = read_index(path, request.place.reads)
    except (OSError, Broken) as error:
        raise _no_index(request, f"the index '{path}' cannot be read: {error}") from error
    if _changed(index, request):
        first = _difference(index, request)
        if first is not None:
            message = "the images are not those of the run's index"
            raise other_images(message, f"the first that differs: {first}")
    return index


def _difference(index: Index, request: Request) -> str | None:
    """List images anew; return a description of the first that an index has otherwise."""
    elsewhere: list[str] = []

    def found() -> Iterator[Stored]:
        records = iter(index)
        for source in request.search():
            for members, labels, times in _blocks(source, request):
                for name, size, offset, label, time in zip(
                    members.names, members.sizes, members.offsets, labels, times, strict=True
                ):
                    record = next(records, None)
                    if not elsewhere and record is not None and record.offset != offset:
                        elsewhere.append(f"'{name}' lies elsewhere in its archive")
                    yield Stored(name, size, label, time)

    return Inventory(found).difference(index.stored()) or next(iter(elsewhere), None)


def _no_index(request: Request, *notes: str | None) -> LnetError:
    return refused(
        "E718",
        f"there are {order.MANY:,} images or more in '{request.location.path}', and this process does not index them",
        *filter(None, notes),
        hint=f"index them once: {request.command}",
    )


def lies_at(index: Path, stem: Path) -> bool:
    """Whether an index was written at a `stem`."""
    return index.parent.resolve() == stem.parent.resolve() and index.name.rsplit(".", 2)[0] == stem.name


def name_in_run(index: Path) -> str:
    """Return the name of an index in the directory of a run."""
    return f"{IN_RUN}.{index.name.rsplit('.', 2)[1]}{SUFFIX}"


@contextmanager
def removed_on_error(stem: Path) -> Iterator[None]:
    """Remove the indexes at a `stem` if what is done with them fails."""
    try:
        yield
    except BaseException:
        for path in stem.parent.glob(f"{glob.escape(stem.name)}.*{SUFFIX}"):
            path.unlink(missing_ok=True)
        raise


# --- made --------------------------------------------------------------------------------------------------------------


def make_index(
    request: Request, stem: Path, sources: Iterable[ImageSource] | None = None, search: Search | None = None
) -> Index:
    """Write an index of what is asked for, with a name that begins with `stem`, and open it; raises `LnetError`.

    `sources`: those of a `search` under way. Returns the one that another process has written meanwhile.
    """
    search = search or request.search()
    if not search.stored:
        kinds = sorted({source.kind for source in search.kinds.values() if source and not source.stored})
        message = f"'{request.location.path}' has images that an index does not find: {', '.join(kinds)}"
        raise refused("E718", message, hint="it finds image files, and images in archives")
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        with _locked(stem.with_name(f".{stem.name}.{request.key}.lock")) as alone:
            found = find_index(request, stem)
            if found is not None:
                return found
            if alone:
                _tidy(request, stem)
            path = _write(request, stem, search if sources is None else sources, search)
        return read_index(path, request.place.reads)
    except OSError as error:
        raise refused("E608", f"the index '{stem}{SUFFIX}' cannot be written", str(error)) from error


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a lock, which a process that ends gives back; yields False where the file system knows none. Raises OSError."""
    while True:
        with open(path, "wb") as file:
            held = _lock(file.fileno())
            if not _is_at(path, os.fstat(file.fileno())):
                continue  # who held it has removed it
            try:
                yield held
            finally:
                path.unlink(missing_ok=True)
            return


def _lock(file: int) -> bool:
    try:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        reported("waiting for another process that indexes", 0, 0)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            return False
        raise
    return True


def _is_at(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except FileNotFoundError:
        return False


def _aside(request: Request, stem: Path) -> str:
    """The beginning of the names under which an index is written."""
    return f".{stem.name}.{request.key}-"


def _tidy(request: Request, stem: Path) -> None:
    """Remove what processes that were killed have left; raises OSError."""
    for name in os.listdir(stem.parent):
        if name.startswith(_aside(request, stem)):
            stem.with_name(name).unlink(missing_ok=True)


def _write(request: Request, stem: Path, sources: Iterable[ImageSource], search: Search) -> Path:
    """Write an index aside, and name it by its digest; raises OSError."""
    aside = stem.with_name(f"{_aside(request, stem)}{secrets.token_hex(4)}")
    with open(aside, "xb", buffering=2**20) as file:
        try:
            digest = _fill(Writer(file), request, sources, search)
            file.flush()
            os.fsync(file.fileno())
            path = stem.with_name(f"{stem.name}.{request.key}-{digest}{SUFFIX}")
            os.rename(aside, path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    sync_folder(stem.parent)
    return path


def _fill(writer: Writer, request: Request, sources: Iterable[ImageSource], search: Search) -> str:
    """Write all images, and what is known of them; return the digest of the file."""
    found: list[Source] = []
    watched: list[Watched] = []
    kinds: Counter[str] = Counter()
    total = 0
    for source in sources:
        samples = source.samples
        assert isinstance(samples, Archive | Files), "the sources' entries say that they are stored"
        if len(samples):
            kinds[source.kind] += 1
        total += len(samples)
        for members, labels, times in _blocks(source, request):
            writer.add(members, labels, times, len(found), partial(shown, source))
            reported("images indexed", writer.count, 0)
        assert source.place is not None, "find.py gives each its place"
        if isinstance(samples, Files):
            found.append(Source("files", "."))
            watched += [Watched(path, time, -1) for path, time in samples.searched.items()]
        else:
            name, reader = source.place.names[0], samples.reader
            found.append(
                Source("zip", name, reader.shift) if isinstance(reader, Zip) else Source("tar", name)
            )
            watched.append(Watched(name, samples.changed, samples.size))
    if any(source.kind == "files" for source in found):
        watched += [Watched(path, time, -1) for path, time in search.searched.items()]
    reported("images indexed", writer.count, writer.count)
    return writer.finish(
        request=request.wanted,
        kinds=dict(kinds),
        ignored=dict(sorted(search.ignored.items())),
        excluded=total - writer.count,
        unmatched=list(request.excluded.unmatched()),
        sources=found,
        watched=watched,
    )


def _blocks(
    source: ImageSource, request: Request
) -> Iterator[tuple[Members, Sequence[str | None], list[int]]]:
    """Yield places, labels and modification times of the images of a source, some at a time."""
    samples = source.samples
    assert isinstance(samples, Archive | Files), "the sources' entries say that they are stored"
    numbers, labels = chosen(source, request.frames, request.excluded)
    for first in range(0, len(numbers), BLOCK):
        members, times = samples.stored(numbers[first : first + BLOCK])
        yield members, labels[first : first + BLOCK], times
