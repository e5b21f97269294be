"""Arrays by name, read row by row: in files of several formats, or in memory.

x.npy                one array, of whatever name
set.npz              stored members are read where they lie, compressed ones into memory
set/x.npy, y.npy     a folder of them
set.h5, .hdf5        datasets by their paths (needs h5py)
set.zarr, .zarr.zip  arrays by their paths (needs zarr)
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lnet.dsl.diagnostics import LnetError, did_you_mean, refused

from .listing import stat_of, suffix_of
from .reads import Reads

Array = NDArray[Any]
HDF5 = (".h5", ".hdf5")
_ZARR = ("zarr.json", ".zgroup", ".zarray")
_HEADER, _LOCAL = 2**16, 30
"""Bytes that hold the header of an array, and the fixed part of a zip member's."""


class Column(Protocol):
    """An array that is read in parts, by several threads; an HDF5 dataset and a zarr array are such, too."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, part: Any, /) -> Any:
        """Return a row, by its number, or rows, by a slice."""


@dataclass(frozen=True)
class Columns:
    """Arrays by name; `column` opens one of `names`.

    `where`: their place in messages; `changed`: when they were last changed, in nanoseconds; `whatever`: a single array that
    has no name, so that it stands for any.
    """

    where: str
    names: Sequence[str]
    column: Callable[[str], Column]
    changed: int = 0
    whatever: bool = False

    def __getitem__(self, name: str) -> Column:
        """Open an array; raises `LnetError` if there is none of that name, or if it cannot be read."""
        if not self.whatever and name not in self.names:
            found = ", ".join(f"'{name}'" for name in self.names) or "none"
            hint = did_you_mean(name, self.names)
            raise refused(
                "E704", f"there is no array '{name}' in {self.where}", f"its arrays are {found}", hint=hint
            )
        with readable(self.where):
            return self.column(name)

    def whole(self, name: str) -> Array:
        """Return all of an array, texts as numpy has them; raises `LnetError`."""
        column = self[name]
        with readable(self.where):
            found = np.asarray(column[:] if column.shape else column[()])
        return found.astype(str) if found.dtype.kind in "OT" else found


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Raise `LnetError` for whatever a reader raises: a damaged file makes it raise almost anything."""
    try:
        yield
    except LnetError:
        raise
    except Exception as error:
        hint: str | tuple[str, ...] = ()
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            hint = (
                "it holds Python objects, which are never read: rows of one size are one array after np.stack, and "
                "texts after .astype(str)"
            )
        raise refused(
            "E703", f"{where} cannot be read as arrays", f"{type(error).__name__}: {error}", hint=hint
        ) from error


def open_columns(path: Path, shown: str) -> Columns:
    """Open the arrays of a file or folder, `shown` in messages; raises `LnetError`."""
    where = f"'{shown}'"
    if not path.exists():
        hint = "a path in a .lnet file is relative to that file, one of a command to the current folder"
        file, colon, name = shown.rpartition(":")
        if colon and path.with_name(Path(file).name).is_file():
            hint = f'name the array beside the file: arrays("{file}", values = "{name}")'
        raise refused("E701", f"there is no file or folder {where}", f"looked for as '{path}'", hint=hint)
    for opens, open_with in _FORMATS:
        if opens(path):
            with readable(where):
                return open_with(path, where)
    raise refused(
        "E702",
        f"{where} holds no arrays",
        "arrays are .npy, .npz, .h5, .hdf5, .zarr, .zarr.zip, or a folder of .npy files",
        hint='a folder, an archive or a video of images is frames("...")',
    )


# --- numpy -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stored:
    """An array in a file, from a place on, in the order of its rows; read by `pread`."""

    reads: Reads
    path: Path
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, part: Any) -> Array:
        if not isinstance(part, slice):
            return self[part : part + 1][0]  # type: ignore[no-any-return]
        first, stop, _ = part.indices(self.shape[0])
        row = prod(self.shape[1:]) * self.dtype.itemsize
        data = self.reads.part(self.path, self.start + first * row, (stop - first) * row)
        return np.frombuffer(data, self.dtype).reshape(stop - first, *self.shape[1:])


def _npy(path: Path, where: str) -> Columns:
    array = _stored(Reads(), path, 0)
    return Columns(where, ("x",), lambda name: array, stat_of(path)[1], whatever=True)


def _npz(path: Path, where: str) -> Columns:
    reads = Reads()
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    def column(name: str) -> Column:
        info = members[name]
        if info.compress_type == zipfile.ZIP_STORED:
            local = reads.part(path, info.header_offset, _LOCAL)
            lengths = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
            _check_sum(path, info)
            return _stored(reads, path, info.header_offset + _LOCAL + lengths)
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]  # type: ignore[no-any-return]

    return Columns(where, tuple(members), column, stat_of(path)[1])


def _check_sum(path: Path, info: zipfile.ZipInfo) -> None:
    """Read through a member of an archive; raises `zipfile.BadZipFile` if it has another checksum than is written there."""
    with zipfile.ZipFile(path) as archive, archive.open(info) as member:
        while member.read(2**20):
            pass


def _folder(path: Path, where: str) -> Columns:
    reads, files = Reads(), {file.stem: file for file in sorted(path.glob("*.npy"))}
    changed = max(stat_of(file)[1] for file in files.values())
    return Columns(where, tuple(files), lambda name: _stored(reads, files[name], 0), changed)


def _stored(reads: Reads, path: Path, offset: int) -> Column:
    """Return the array that begins at a place of a file; one that lies in the order of its columns is mapped."""
    header = BytesIO(reads.part(path, offset, _HEADER))
    version = npy.read_magic(header)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read(header)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    start = offset + header.tell()
    if not shape:
        return np.frombuffer(reads.part(path, start, dtype.itemsize), dtype).reshape(())
    if by_columns and len(shape) > 1:
        return np.memmap(path, dtype, "r", start, shape, "F")
    if start + prod(shape) * dtype.itemsize > path.stat().st_size:
        raise ValueError("it ends within an array")
    return _Stored(reads, path, start, shape, dtype)


# --- other packages ----------------------------------------------------------------------------------------------------


def _hdf5(path: Path, where: str) -> Columns:
    h5py = _imported("h5py", "hdf5", where)
    file, names = h5py.File(path, "r", locking="best-effort"), []
    file.visititems(lambda name, found: names.append(name) if isinstance(found, h5py.Dataset) else None)

    def column(name: str) -> Column:
        found = file[name]
        return found.asstr()[...] if h5py.check_string_dtype(found.dtype) is not None else found  # type: ignore[no-any-return]

    return Columns(where, tuple(names), column, stat_of(path)[1])


def _zarr(path: Path, where: str) -> Columns:
    zarr = _imported("zarr", "zarr", where)
    store = zarr.storage.ZipStore(str(path), mode="r") if path.is_file() else str(path)
    found = zarr.open(store, mode="r")
    files = [path] if path.is_file() else path.rglob("*")
    changed = max(stat_of(file)[1] for file in files)
    if not hasattr(found, "members"):
        return Columns(where, ("x",), lambda name: _unpickled(found), changed, whatever=True)
    arrays = {name: member for name, member in found.members(max_depth=None) if hasattr(member, "dtype")}
    return Columns(where, tuple(sorted(arrays)), lambda name: _unpickled(arrays[name]), changed)


def _unpickled(array: Any) -> Column:
    """Return a zarr array; raises ValueError for one that is read by unpickling: older versions of numcodecs do that."""
    steps = [*(getattr(array.metadata, "filters", None) or ()), getattr(array.metadata, "compressor", None)]
    if any(getattr(step, "codec_id", None) == "pickle" for step in steps):
        raise ValueError("Object arrays cannot be loaded")
    return array  # type: ignore[no-any-return]


def _imported(package: str, extra: str, where: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise refused(
            "E709", f"reading {where} needs '{package}'", str(error), hint=f"pip install 'lnetc[{extra}]'"
        ) from error


_FORMATS: tuple[tuple[Callable[[Path], bool], Callable[[Path, str], Columns]], ...] = (
    (lambda path: suffix_of(path.name) == ".npy", _npy),
    (lambda path: suffix_of(path.name) == ".npz", _npz),
    (lambda path: suffix_of(path.name) in HDF5, _hdf5),
    (
        lambda path: path.name.endswith((".zarr", ".zarr.zip")) or any((path / n).exists() for n in _ZARR),
        _zarr,
    ),
    (lambda path: path.is_dir() and any(path.glob("*.npy")), _folder),
)


# --- in memory ---------------------------------------------------------------------------------------------------------


def columns_of(arrays: Mapping[str, Array]) -> Columns:
    """Return arrays in memory."""
    return Columns("'data'", tuple(arrays), arrays.__getitem__)


@dataclass(frozen=True)
class _Items:
    """One entry of the mappings that an object with items gives."""

    items: Any
    name: str
    first: Array = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.items), *self.first.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.first.dtype

    def __getitem__(self, part: Any) -> Array:
        if isinstance(part, slice):
            return np.stack([self[number] for number in range(*part.indices(len(self.items)))])
        return np.asarray(self.items[part][self.name])


def columns_of_items(items: Any, where: str) -> Columns:
    """Return an object whose items are mappings of arrays as columns, by the names in its first."""
    with readable(where):
        found = items[0].items() if len(items) else ()
        first = {name: np.asarray(value) for name, value in found if isinstance(name, str)}
    return Columns(where, tuple(first), lambda name: _Items(items, name, first[name]))
