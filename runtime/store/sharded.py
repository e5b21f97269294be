"""Checkpoints in shards: each file holds what one tile's server had, and any part of the network can be read from them.

    step-00000500-7.shards/
        shard-0-1f0c....safetensors     params/NAME, update/NAME; metadata: where in the whole each array lies
        shard-1-93ab....safetensors
        manifest.json                   which files count, by digest; leases; the step. In place before the folder is renamed

A file of one process (checkpoint.py) is the same with one shard that holds all, so a run goes on with any number of
tiles, from any number of tiles.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lnet.compiler.core.shapes import Interval, Region, Size, whole
from lnet.compiler.files import write_aside

from .checkpoint import Checkpoint, check_format, date_last, flush
from .owner import Owner
from .safetensors import Damaged, open_arrays, write_arrays

FORMAT = "1"
MANIFEST_FORMAT = "2"
SUFFIX = ".shards"
ASIDE = ".writing"
MANIFEST = "manifest.json"
Arrays = Mapping[str, Any]
Regions = Mapping[str, Region | None]


@dataclass(frozen=True)
class ShardedCheckpoint:
    """A committed folder."""

    path: Path
    manifest: dict[str, Any]

    @staticmethod
    def open(path: Path) -> ShardedCheckpoint:
        """Open a folder; raises `Damaged`, and OSError."""
        data = (path / MANIFEST).read_bytes()
        try:
            manifest = json.loads(data)
            check_format(path, manifest["format"], MANIFEST_FORMAT)
            return ShardedCheckpoint(path, {**manifest, "digests": [str(d) for d in manifest["digests"]]})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Damaged(f"'{MANIFEST}' cannot be read: {error!r}") from error

    @property
    def step(self) -> int:
        return int(self.path.name.split("-")[1])

    @property
    def files(self) -> list[Path]:
        return [self.path / _file_name(i, digest) for i, digest in enumerate(self.manifest["digests"])]

    def check(self) -> None:
        """Raise `Damaged` if a shard is not as it was written, and OSError."""
        for path in self.files:
            _check_digest(path)

    def note(self, shard: int) -> Any:
        """Return the metadata of a shard; raises `Damaged`, and OSError."""
        path = self.files[shard]
        with open_arrays(path) as file:
            try:
                return json.loads(file.metadata["note"])
            except (KeyError, ValueError) as error:
                raise Damaged(f"'{path.name}' has no note: {error!r}") from error


def opened(path: Path) -> ShardedCheckpoint | Path:
    """Return a checkpoint by its path: a folder of shards, or the file of one process; raises `Damaged`, and OSError."""
    return ShardedCheckpoint.open(path) if path.name.endswith(SUFFIX) else path


def files_of(path: Path) -> list[Path]:
    """Return the files that a checkpoint is made of; raises `Damaged`, and OSError."""
    found = opened(path)
    return [found] if isinstance(found, Path) else [found.path / MANIFEST, *found.files]


def _file_name(shard: int, digest: str) -> str:
    return f"shard-{shard}-{digest[:16]}.safetensors"


def aside(folder: Path, owner: Owner, id: int) -> Path:
    """Return where the shards of an owner's checkpoint are gathered until it is committed."""
    return folder / f".{id}-{owner.short}{ASIDE}"


def save_shard(
    folder: Path,
    owner: Owner,
    id: int,
    shard: int,
    regions: Regions,
    params: Arrays,
    update: Arrays,
    note: Any = None,
) -> str:
    """Write what a server holds aside, with a note in plain data, and return its digest.

    Raises OSError, and `TakenOver` if the run has another owner by now.
    """
    owner.check()
    into = aside(folder, owner, id)
    into.mkdir(parents=True, exist_ok=True)
    arrays = {f"params/{name}": np.ascontiguousarray(array) for name, array in params.items()}
    arrays |= {f"update/{name}": np.ascontiguousarray(array) for name, array in update.items()}
    places = {name: _place(regions[name]) for name in params}
    metadata = {"format": FORMAT, "shard": str(shard), "places": json.dumps(places), "note": json.dumps(note)}
    temporary = into / f".shard-{shard}-{os.getpid()}{ASIDE}"
    try:
        with open(temporary, "wb") as file:
            write_arrays(file, arrays, metadata)
        flush(temporary)
        digest = _digest(temporary)
        os.replace(temporary, into / _file_name(shard, digest))
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def commit(folder: Path, owner: Owner, id: int, step: int, manifest: Mapping[str, Any], keep: int) -> Path:
    """Make a gathered checkpoint count, and drop those that are too many.

    Raises OSError, and `TakenOver` if the run has another owner by now.
    """
    target, gathered = folder / f"step-{step:08d}-{id}{SUFFIX}", aside(folder, owner, id)
    owner.check()
    write_aside(gathered / MANIFEST, json.dumps({"format": MANIFEST_FORMAT, **manifest}))
    flush(gathered)
    date_last(gathered, folder, step)
    owner.check()
    os.replace(gathered, target)
    flush(folder)
    for old in committed(folder)[:-keep]:
        drop(old)
    return target


def drop(path: Path) -> None:
    """Remove a checkpoint, at once for whoever reads it; what cannot be removed stays."""
    gone = path.with_name(f".{path.name}-{secrets.token_hex(4)}{ASIDE}")
    with suppress(OSError):
        os.replace(path, gone)
        shutil.rmtree(gone)


def committed(folder: Path) -> list[Path]:
    """Return the checkpoints of a cluster that have their names, in the order of their numbers."""
    return sorted(folder.glob(f"step-*-*{SUFFIX}"), key=number_of)


def number_of(path: Path) -> int:
    """Return which checkpoint of the run a folder is."""
    return int(path.name.removesuffix(SUFFIX).split("-")[-1])


def read_sharded(checkpoint: ShardedCheckpoint, shapes: Mapping[str, tuple[int, ...]]) -> Checkpoint:
    """Return all of a network from its shards; raises `Damaged`, and OSError."""
    params, update = read_regions(checkpoint.files, dict.fromkeys(shapes), shapes)
    return Checkpoint(checkpoint.step, params, update, checkpoint.manifest["torn"])


def read_regions(
    files: list[Path], regions: Regions, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return parameters and optimiser state at regions of positions (None: all), whatever shards they lie in.

    `shapes` are those of whole parameters. Numbers of an optimiser's state that belong to no parameter, such as a count
    of updates, are the largest of any shard. Raises `Damaged`, and OSError.
    """
    params: dict[str, Any] = {}
    update: dict[str, Any] = {}
    filled: dict[str, int] = {}
    for path in files:
        for key, array, place in _arrays(path):
            kind, _, name = key.partition("/")
            of = name if kind == "params" else name.partition("/")[2]
            into = params if kind == "params" else update
            if of and of not in regions:
                continue
            if not of:
                into[name] = np.maximum(into[name], array) if name in into else array
                continue
            filled[key] = filled.get(key, 0) + _copy(into, name, array, place, regions[of], shapes[of])
    _check_complete(params, update, filled, regions)
    return params, update


def _arrays(path: Path) -> Iterator[tuple[str, Any, Region | None]]:
    _check_digest(path)
    with open_arrays(path) as file:
        check_format(path, file.metadata.get("format"), FORMAT)
        places = json.loads(file.metadata.get("places", "{}"))
        for key, array in file.arrays():
            name = key.partition("/")[2]
            place = places.get(name if key.startswith("params/") else name.partition("/")[2])
            yield key, array, _region(place)


def _copy(
    into: dict[str, Any],
    name: str,
    array: Any,
    place: Region | None,
    wanted: Region | None,
    shape: tuple[int, ...],
) -> int:
    """Copy what a shard has of a wanted region; return how many positions that were."""
    if place is None and wanted is None:
        into[name] = array
        return 1
    everything = whole(Size(shape[0], shape[1]))
    place, target = place or everything, wanted or everything
    if name not in into:
        into[name] = np.empty((target.size.rows, target.size.columns, *array.shape[2:]), array.dtype)
    both = place.intersect(target)
    into[name][_slices(both.within(target))] = array[_slices(both.within(place))]
    return both.area


def _check_complete(params: Arrays, update: Arrays, filled: Mapping[str, int], regions: Regions) -> None:
    for name in regions:
        if name not in params:
            raise Damaged(f"'{name}' is missing")
    for key, count in filled.items():
        kind, _, name = key.partition("/")
        array = (params if kind == "params" else update)[name]
        if count != 1 and count != array.shape[0] * array.shape[1]:
            raise Damaged(f"part of '{key}' is missing")


def _slices(region: Region) -> tuple[slice, slice]:
    return (
        slice(region.rows.start, region.rows.stop),
        slice(region.columns.start, region.columns.stop),
    )


def _place(region: Region | None) -> list[int] | None:
    if region is None:
        return None
    return [region.rows.start, region.rows.stop, region.columns.start, region.columns.stop]


def _region(place: list[int] | None) -> Region | None:
    return None if place is None else Region(Interval(*place[:2]), Interval(*place[2:]))


def _check_digest(path: Path) -> None:
    """Raise `Damaged` for a shard that is not what its name says; a file of one process has no digest there."""
    if not path.stem.startswith("shard-"):
        return
    if not _digest(path).startswith(path.stem.split("-")[2]):
        raise Damaged(f"the digest of '{path.name}' does not match")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
