"""Files of weights by suffix, each opened without running any code of it."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lnet.compiler.settings import DatasetFigures
from lnet.dsl.diagnostics import refused
from lnet.runtime.store.safetensors import Damaged, open_arrays

from .foreign import LNET, UNKNOWN, Array, Foreign, ForeignArray, foreign, unreadable
from .keras_files import open_hdf5, open_keras
from .torch_files import open_torch

_BESIDE = ("activations/", "inputs/", "normalize/")
"""What `lnetc export` writes beside weights."""
_FIGURES = ("normalize/mean", "normalize/deviation")


_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, EOFError)
"""What reading a damaged zip file of arrays raises."""


def open_weights(path: Path) -> Foreign:
    """Open a file of weights; arrays are read when they are asked for.

    Raises `LnetError` for a missing or damaged file, and for one of another type.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(f"'{suffix}'" for suffix in READERS)
        raise refused("E782", f"expected a run or a file of weights, found '{path}'", f"files end in {known}")
    try:
        return reader(path)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file; raises `LnetError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def _open_safetensors(path: Path) -> Foreign:
    try:
        with open_arrays(path) as file:
            named = any(key.endswith(".axes") for key in file.metadata)
            shapes = {name: shape for name, (_, shape, _) in file.places.items()}
            told = [file.metadata.get(name) for name in _FIGURES]
    except Damaged as error:
        raise unreadable(path, str(error)) from error

    def read(name: str) -> Array:
        try:
            with open_arrays(path) as file:
                return file.read(name)
        except (OSError, Damaged) as error:
            raise unreadable(path, str(error)) from error

    return _listed(path, shapes, read, named, lambda: [json.loads(text) for text in told if text])


def _open_npz(path: Path) -> Foreign:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            shapes = {name[: -len(".npy")]: _npy_shape(archive, name) for name in members}
    except _DAMAGED as error:
        raise unreadable(path, str(error)) from error
    named = {name for name in shapes if name.endswith(".axes")}

    def read(name: str) -> Array:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found: Array = arrays[name]
                return found
        except (OSError, *_DAMAGED) as error:
            raise unreadable(path, str(error)) from error

    arrays = {name: shape for name, shape in shapes.items() if name not in named}
    return _listed(path, arrays, read, bool(named), lambda: [read(n) for n in _FIGURES if n in shapes])


def _npy_shape(archive: zipfile.ZipFile, member: str) -> tuple[int, ...]:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape: tuple[int, ...] = header(file)[0]
        return shape


def _listed(
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    read: Callable[[str], Array],
    named: bool,
    told: Callable[[], list[Any]],
) -> Foreign:
    """Return the arrays of a file; `told`: what it says of the data set, as lists of numbers."""
    arrays = [
        ForeignArray(name, shape, partial(read, name))
        for name, shape in shapes.items()
        if not name.startswith(_BESIDE)
    ]
    found = foreign(path, LNET if named else UNKNOWN, arrays)
    return replace(found, figures=_figures(path, told)) if named else found


def _figures(path: Path, told: Callable[[], list[Any]]) -> DatasetFigures | None:
    """Return the figures of a data set, None if the file has none; raises `LnetError` for what cannot be such figures."""
    try:
        found = [np.asarray(numbers, np.float64) for numbers in told()]
    except (ValueError, TypeError) as error:
        raise unreadable(path, f"what it says of the data set is damaged: {error}") from error
    if len(found) < len(_FIGURES):
        return None
    mean, deviation = found
    if (
        mean.shape != (mean.size,)
        or deviation.shape != mean.shape
        or not (np.isfinite(found).all() and (deviation > 0).all())
    ):
        raise unreadable(path, "its mean and deviation of each map of the data set are impossible")
    return DatasetFigures(tuple(mean.tolist()), tuple(deviation.tolist()))


READERS: dict[str, Callable[[Path], Foreign]] = {
    ".safetensors": _open_safetensors,
    ".npz": _open_npz,
    ".h5": open_hdf5,
    ".hdf5": open_hdf5,
    ".keras": open_keras,
    ".pt": open_torch,
    ".pth": open_torch,
}
