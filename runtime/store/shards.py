"""Checkpoints on the disk: folders of shards, from which any part of the network can be read.

    step-00000500-7.shards/             the state after 500 steps, checkpoint number 7 of the run
        shard-0-1f0c....safetensors     params/NAME, update/NAME; metadata: where in the whole each array lies (blocks.py)
        shard-1-93ab....safetensors
        manifest.json                   which files count, by digest. In place before the folder is renamed

Each shard holds what one tile's server had; a process that trains alone writes one shard, which holds all. So a run goes
on with any number of tiles, from any number of tiles. The file of version 0.1 is read as one shard (version_0_1.py).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lnet.compiler.core.shapes import Interval, Place, Region, Rows, Size, overlap, shape_at, whole
from lnet.dsl.diagnostics import refused
from lnet.runtime.data.order import STORED

from . import version_0_1
from .blocks import CHECKSUMS, BlockFile, blocks_of, write_blocks
from .checkpoint import check_format
from .owner import Owner
from .safetensors import Array, Damaged, open_arrays

FORMAT = "3"
OLDER = "2"
"""The format in which a shard is read whole: its digest is that of all its bytes, and it has no checksums."""
SUFFIX = ".shards"
ASIDE = ".writing"
MANIFEST = "manifest.json"
Arrays = Mapping[str, Any]
Places = Mapping[str, Place]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint on the disk: its shards, in their order.

    `torn` as in `Checkpoint`; `cluster` is what a cluster's coordinator keeps in it and `layout` how that run was cut,
    None for one process; `order`: the number of the order of images that it was trained in; `best`: of the best parameters
    so far, by which figure they are.
    """

    path: Path
    files: tuple[Path, ...]
    torn: int = 0
    layout: Any = None
    cluster: Any = None
    order: int = STORED
    best: Any = None

    @property
    def step(self) -> int:
        return step_of(self.path)

    def read(
        self, places: Places, shapes: Shapes, first: int = 0, state: bool = True
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return parameters and optimiser state at some places (None: all), whatever shards they lie in.

        Without `state`, that of the optimiser is checked as it would be, and not kept.

        Shards are read from number `first` on, until all is found; what is read of them is checked, and nothing else.
        `shapes` are those of the network's whole parameters. Numbers of an optimiser's state that belong to no parameter,
        such as a count of updates, are the largest of those shards. Raises `Damaged`, `LnetError` if the checkpoint is of
        another network, and OSError.
        """
        into: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        filled: dict[str, int] = {}
        found = {""}
        first %= len(self.files) or 1
        for path in (*self.files[first:], *self.files[:first]):
            for key, array, place in _checked(path, places):
                kind, _, name = key.partition("/")
                of = _parameter(key)
                found.add(of)
                if array is None or (kind == "update" and not state):
                    continue
                if not of:
                    into[kind][name] = np.maximum(into[kind].get(name, array), array)
                elif of in places and of in shapes:
                    copied = _copy(into[kind], name, array, place, places[of], shapes[of])
                    filled[key] = filled.get(key, 0) + copied
            if found - {""} <= set(shapes) and not _missing(places, into, filled):
                return into["params"], into["update"]
        if found - {""} != set(shapes):
            raise refused("E742", f"the checkpoint '{self.path}' is of another network")
        raise Damaged(f"part of '{_missing(places, into, filled)}' is missing")

    def check(self) -> None:
        """Raise `Damaged` if a shard is not as it was written, and OSError."""
        for path in self.files:
            for _ in _checked(path, None):
                pass

    def note(self, shard: int) -> Any:
        """Return what was noted in a shard; raises `Damaged`, and OSError."""
        path = self.files[shard]
        with open_arrays(path) as file:
            try:
                return json.loads(file.metadata["note"])
            except (KeyError, ValueError) as error:
                raise Damaged(f"'{path.name}' has no note: {error!r}") from error


def opened(path: Path) -> StoredCheckpoint:
    """Open a checkpoint; raises `Damaged`, `LnetError` for one of another version, and OSError."""
    if path.name.endswith(version_0_1.SUFFIX):
        return StoredCheckpoint(path, (path,))
    data = (path / MANIFEST).read_bytes()
    try:
        manifest = json.loads(data)
        check_format(path, manifest["format"], OLDER, FORMAT)
        files = tuple(path / _file_name(i, str(digest)) for i, digest in enumerate(manifest["digests"]))
        layout, cluster = manifest.get("layout"), manifest.get("manifest")
        order = int(manifest.get("order", STORED))
        torn, best = int(manifest["torn"]), manifest.get("best")
        return StoredCheckpoint(path, files, torn, layout, cluster, order, best)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"'{MANIFEST}' cannot be read: {error!r}") from error


def step_of(path: Path) -> int:
    """Return the step that a checkpoint's name says; raises ValueError."""
    return _numbers(path)[0]


def number_of(path: Path) -> int:
    """Return which checkpoint of its run one is, by its name, 0 for one of version 0.1; raises ValueError."""
    return _numbers(path)[1]


def _numbers(path: Path) -> tuple[int, int]:
    step, _, number = path.name.removeprefix("step-").partition(".")[0].partition("-")
    return int(step), int(number or 0)


def _file_name(shard: int, digest: str) -> str:
    return f"shard-{shard}-{digest[:16]}.safetensors"


def aside(folder: Path, owner: Owner | None, number: int) -> Path:
    """Return where the shards of an owner's checkpoint are gathered until it is committed."""
    return folder / f".{number}{'' if owner is None else '-' + owner.short}{ASIDE}"


def save_shard(
    folder: Path,
    owner: Owner | None,
    number: int,
    shard: int,
    places: Places,
    params: Arrays,
    update: Arrays,
    note: Any = None,
) -> str:
    """Write what a server holds aside, with a note in plain data, and return its digest.

    Raises OSError, and `TakenOver` if the run has another owner by now.
    """
    if owner is not None:
        owner.check()
    into = aside(folder, owner, number)
    into.mkdir(parents=True, exist_ok=True)
    arrays = {f"params/{name}": np.asarray(array) for name, array in params.items()}
    arrays |= {f"update/{name}": np.asarray(array) for name, array in update.items()}
    written = {name: _written(places[name]) for name in params}
    temporary = into / f".shard-{shard}-{os.getpid()}{ASIDE}"
    try:
        digest = write_blocks(temporary, arrays, {"places": json.dumps(written), "note": json.dumps(note)})
        os.replace(temporary, into / _file_name(shard, digest))
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def drop(path: Path) -> None:
    """Remove a folder, at once for whoever reads it; what cannot be removed stays."""
    gone = path.with_name(f".{path.name}-{secrets.token_hex(4)}{ASIDE}")
    with suppress(OSError):
        os.replace(path, gone)
        shutil.rmtree(gone)


def _checked(path: Path, places: Places | None) -> Iterator[tuple[str, Array | None, Place]]:
    """Yield a shard's arrays, or what they have of some places, and where that lies in the whole (None: all of it).

    Of an array that has nothing of the places there is only the name. Raises `Damaged`, at the end at the latest, and
    OSError.
    """
    try:
        yield from _arrays(path, places)
    except Damaged as error:
        raise Damaged(f"'{path.name}': {error}") from error


def _arrays(path: Path, wanted: Places | None) -> Iterator[tuple[str, Array | None, Place]]:
    if not path.name.startswith("shard-"):
        yield from ((key, array, None) for key, array in version_0_1.checked_arrays(path))
        return
    with open_arrays(path) as file:
        try:
            places = {name: _read(at) for name, at in json.loads(file.metadata["places"]).items()}
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise Damaged(f"it does not say where its arrays lie: {error!r}") from error
        digest = path.stem.split("-")[2]
        if CHECKSUMS not in file.places:
            for key, array in file.checked_arrays(digest):
                yield key, array, places.get(_parameter(key))
            return
        with blocks_of(file, digest) as blocks:
            for key in blocks.checksums:
                of = _parameter(key)
                yield key, *_part(blocks, key, places.get(of), wanted if of else None)


def _part(blocks: BlockFile, key: str, place: Place, places: Places | None) -> tuple[Array | None, Place]:
    """Return what an array at a place has of the wanted one of its parameter, and where that lies; None for nothing."""
    of = _parameter(key)
    if places is not None and of not in places:
        return None, place
    wanted, shape = None if places is None else places[of], blocks.shape(key)
    if wanted in (None, place) or len(shape) < 2:
        return blocks.read(key), place
    try:
        if isinstance(place, Rows) or isinstance(wanted, Rows):
            return _rows(blocks, key, place, wanted)
        own = place or whole(Size(shape[0], shape[1]))
        both = own.intersect(wanted)
        return (blocks.read(key, both.within(own)) if both.area else None), both
    except (ValueError, IndexError) as error:
        raise Damaged(f"'{key}' does not fit into its place: {error}") from error


def _rows(blocks: BlockFile, key: str, place: Place, wanted: Place) -> tuple[Array | None, Place]:
    """Return the rows that an array at a place has of some wanted ones."""
    shape = blocks.shape(key)
    own, target = place or Rows((Interval(0, shape[0]),)), wanted
    if not (isinstance(own, Rows) and isinstance(target, Rows)):
        raise ValueError("a region, where rows are expected")
    here = [mine for mine, _ in own.shared(target)]
    if target.length and not here:
        return None, own.common(target)
    parts = [blocks.read(key, Region(rows, Interval(0, shape[1]))) for rows in here or [Interval(0, 0)]]
    return np.concatenate(parts), own.common(target)


def _parameter(key: str) -> str:
    """Return the parameter that an array is, or is the state of: '' for state that belongs to none."""
    kind, _, name = key.partition("/")
    return name if kind == "params" else name.partition("/")[2]


def _copy(
    into: dict[str, Any],
    name: str,
    array: Array,
    place: Place,
    wanted: Place,
    shape: tuple[int, ...],
) -> int:
    """Copy what a shard has of a wanted part of a parameter; return how many values that were."""
    if place is None and wanted is None:
        into[name] = array
        return array.size
    copied = 0
    try:
        if name not in into:
            into[name] = np.empty(shape_at(shape, wanted), array.dtype)
        for there, here in overlap(place, wanted, shape):
            into[name][here] = array[there]
            copied += into[name][here].size
    except (ValueError, IndexError) as error:
        raise Damaged(f"'{name}' does not fit into its place: {error}") from error
    return copied


def _missing(places: Places, into: Mapping[str, Arrays], filled: Mapping[str, int]) -> str | None:
    """Return a parameter, or a state of one, of which not all positions were filled; None if all were."""
    for key in (*(f"params/{name}" for name in places), *filled):
        kind, _, name = key.partition("/")
        if key not in filled or filled[key] != into[kind][name].size:
            return key
    return None


def _written(place: Place) -> Any:
    """Return a place as it is written: null, [row, row, column, column], or ranges {"rows": [[start, stop], ...]}."""
    match place:
        case None:
            return None
        case Rows():
            return {"rows": [[interval.start, interval.stop] for interval in place.intervals]}
        case Region():
            return [place.rows.start, place.rows.stop, place.columns.start, place.columns.stop]


def _read(written: Any) -> Place:
    """Return the place that is written so; raises KeyError, TypeError and ValueError."""
    match written:
        case None:
            return None
        case dict():
            return Rows(tuple(Interval(int(start), int(stop)) for start, stop in written["rows"]))
        case _:
            return Region(Interval(*written[:2]), Interval(*written[2:]))
