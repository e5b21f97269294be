"""Matrices that a user brings: dissimilarities of conditions, accuracies at places.

file.npy             numbers, whose order is that of the conditions here
file.npz             one array of numbers, and `names`, texts, if the conditions have names; several: FILE.npz:ARRAY
file.csv             a matrix; with a first row and a first column of names, or without
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename, normpath, splitext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.dsl.diagnostics import LnetError, refused

Numbers = NDArray[np.float64]
SHORT = 5
"""Names that a message lists."""


@dataclass(frozen=True)
class Given:
    """Finite numbers from a file, and the names of the conditions that they are about, where the file has names."""

    path: str
    values: Numbers
    names: tuple[str, ...] | None

    def order(self, names: Sequence[str], count: int) -> NDArray[np.int64]:
        """Return the place of each of `names` among the file's `count` conditions; raises `LnetError`.

        Names are the same whole, else without folders, else without suffixes, too. A file without names has the
        conditions in the order of `names`, and as many.
        """
        if self.names is None:
            if count == len(names):
                return np.arange(count)
            found = f"it has {count:,}, and there are {len(names):,}: {_listed(names)}"
            hint = "a '.npz' with the array 'names' is matched by name"
            raise misfit(f"'{self.path}' has another number of conditions", found, hint=hint)
        if len(self.names) != count:
            raise misfit(f"'{self.path}' has {len(self.names):,} names of {count:,} conditions")
        missing: list[str] = []
        for short in (normpath, basename, _stem):
            places = {short(name): place for place, name in enumerate(self.names)}
            wanted = [short(name) for name in names]
            lacking = [name for name, key in zip(names, wanted, strict=True) if key not in places]
            if not lacking and len(places) == len(self.names) and len(set(wanted)) == len(wanted):
                return np.array([places[key] for key in wanted])
            missing = missing or lacking
        if not missing:
            raise misfit(f"'{self.path}' names a condition twice", f"its names are {_listed(self.names)}")
        found = f"it has {_listed(self.names)}"
        raise misfit(
            f"'{self.path}' lacks {len(missing):,} of {len(names):,} conditions",
            f"first '{missing[0]}'",
            found,
        )


def _stem(name: str) -> str:
    return splitext(basename(name))[0]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:SHORT])
    return shown + (f" and {len(names) - SHORT:,} more" if len(names) > SHORT else "")


def misfit(message: str, *notes: str, hint: str | tuple[str, ...] = ()) -> LnetError:
    """Return the error for a matrix that does not fit."""
    return refused("E785", message, *notes, hint=hint)


# --- files -----------------------------------------------------------------------------------------------


def read_given(place: str | os.PathLike[str]) -> Given:
    """Read a matrix, or several of them, from a file; raises `LnetError` for anything else."""
    text = os.fspath(place)
    path, _, array = text.partition(".npz:")
    path = f"{path}.npz" if array else path
    reader = _READERS.get(Path(path).suffix.casefold())
    if reader is None:
        known = ", ".join(f"'{suffix}'" for suffix in _READERS)
        raise refused("E782", f"expected a matrix in a file that ends in {known}, found '{path}'")
    try:
        values, names = reader(Path(path), array)
    except (OSError, ValueError, EOFError, csv.Error) as error:
        raise misfit(f"'{path}' cannot be read as a matrix", str(error)) from error
    if values.dtype.kind not in "fiub":
        raise misfit(f"'{text}' has no real numbers, but {values.dtype}")
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise misfit(f"'{text}' has {int((~np.isfinite(numbers)).sum()):,} values that are not finite")
    return Given(text, numbers, names)


Read = tuple[NDArray[Any], tuple[str, ...] | None]


def _npy(path: Path, array: str) -> Read:
    return np.load(path, allow_pickle=False), None


def _npz(path: Path, array: str) -> Read:
    with np.load(path, allow_pickle=False) as file:
        members = {name: file[name] for name in file.files}
    numeric = [name for name, value in members.items() if value.dtype.kind in "fiub" and value.ndim]
    chosen = [array] if array else numeric
    if len(chosen) != 1 or chosen[0] not in members:
        raise ValueError(
            f"expected one array of numbers, found {_listed(numeric) or 'none'}: say which, FILE.npz:ARRAY"
        )
    names = members.get("names")
    return members[chosen[0]], None if names is None else tuple(map(str, names.tolist()))


def _csv(path: Path, array: str) -> Read:
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        raise ValueError("it is empty")
    names = None
    if not all(map(_is_number, rows[0][1:])) or not _is_number(rows[0][0] or "no"):
        header, rows = [name.strip() for name in rows[0][1:]], rows[1:]
        names = tuple(row[0].strip() for row in rows)
        if names != tuple(header):
            raise ValueError("the names in its first row are not those in its first column")
        rows = [row[1:] for row in rows]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its rows are of different lengths")
    return np.array([[float(cell) for cell in row] for row in rows]), names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_READERS: dict[str, Callable[[Path, str], Read]] = {".npy": _npy, ".npz": _npz, ".csv": _csv}
