"""Arrays that are no images: values, labels and targets by name, one row for each sample, checked and as a data set.

    x       [n, rows, columns, maps], or fewer axes with as many values in the same order
    labels  [n]
    y       [n, rows, columns, maps] of a target, or fewer axes

Any real type and range; values have the network's type. Rows are read when their turn comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Region, Sheet
from lnet.compiler.graph.graph import Graph
from lnet.compiler.settings import ArraySet, Frames, Normalization
from lnet.dsl.diagnostics import LnetError, refused

from .arrays import SCANNED, blocks_of, converted, label_texts
from .checksums import checksum
from .columns import Column, Columns, columns_of, readable
from .dataset import CACHE_BYTES, Classes, Dataset, Kept, ordering
from .inventory import Inventory, Stored
from .labels import order_classes
from .pixels import Loaded, Reals, normalize
from .sources import ARRAY_SET


@dataclass(frozen=True)
class Rows:
    """One array with a row for each sample, each of the extents of a sheet; `what` names it in messages. `dtype`: of the
    network."""

    column: Column
    sheet: Sheet
    what: str
    dtype: str

    def stored(self, place: int) -> NDArray[Any]:
        """Return a row as it is stored."""
        with readable(self.what):
            return np.ascontiguousarray(self.column[place])

    def sample(self, row: NDArray[Any], place: int) -> Reals:
        """Return a stored row in the network's type and extents; raises `LnetError` for other numbers of values."""
        if row.size != self.sheet.values:
            raise refused(
                "E704",
                f"sample {place:,} of {self.what} has the shape {list(row.shape)}",
                _expected(self.sheet),
            )
        values = _as_type(row, self.dtype).reshape(self.sheet.height, self.sheet.width, self.sheet.maps)
        if not np.isfinite(values).all():
            raise self._not_finite(f"{self.what} has values", place)
        return values

    def check(self) -> None:
        """Raise `LnetError` for arrays of other types and shapes."""
        shape, sheet = list(self.column.shape or ()), self.sheet
        if not _is_real(self.column.dtype):
            hint = (
                "of complex numbers, real and imaginary parts can be two maps"
                if _kind(self.column) == "c"
                else ()
            )
            raise refused(
                "E704", f"{self.what} holds {self.column.dtype}", "expected real numbers", hint=hint
            )
        whole = [sheet.height, sheet.width, sheet.maps]
        fits = shape[1:] == whole if len(shape) == 4 else len(shape) < 4 and prod(shape[1:]) == sheet.values
        if not shape or not fits:
            hint = ()
            if shape[1:] == [sheet.maps, sheet.height, sheet.width]:
                hint = "put the maps last: x.transpose(0, 2, 3, 1)"
            raise refused("E704", f"{self.what} has the shape {shape}", _expected(sheet), hint=hint)

    def scan(self) -> None:
        """Raise `LnetError` if values are not finite, with their number; only of arrays up to a gigabyte."""
        count, size = self.column.shape[0], np.dtype(self.dtype).itemsize * self.sheet.values
        if not count or _kind(self.column) in "biu" or count * size > SCANNED:
            return
        bad: list[NDArray[np.int64]] = []
        with readable(self.what):
            for begin, block in blocks_of(self.column, size):
                bad.append(
                    np.flatnonzero(~np.isfinite(_as_type(block, self.dtype))) + begin * self.sheet.values
                )
        places = np.concatenate(bad)
        if len(places):
            many = f"{len(places):,} value{'s' * (len(places) > 1)}"
            raise self._not_finite(f"{self.what} has {many}", int(places[0]) // self.sheet.values)

    def _not_finite(self, what: str, first: int) -> LnetError:
        return refused(
            "E704",
            f"{what} that no finite {self.dtype} holds",
            f"the first is in sample {first:,}",
            hint="leave such samples out, or put a number in the place of each",
        )


def _as_type(values: NDArray[Any], dtype: str) -> Reals:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values).astype(dtype)


def _kind(column: Column) -> str:
    return str(np.dtype(column.dtype).kind)


def _is_real(dtype: Any) -> bool:
    try:
        return np.dtype(dtype).kind in "biuf" or np.dtype(dtype).name == "bfloat16"
    except TypeError:  # a type of zarr's own
        return False


def _expected(sheet: Sheet) -> str:
    extents = f"[n, {sheet.height}, {sheet.width}, {sheet.maps}]"
    return f"expected {extents}, or fewer axes with {sheet.values:,} values a sample in the same order"


class Numbers(Sequence[str]):
    """The names of samples that go by their numbers: `[0]`, `[1]`, ..."""

    def __init__(self, count: int) -> None:
        self._range = range(count)

    def __len__(self) -> int:
        return len(self._range)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        found = self._range[index]
        return f"[{found}]" if isinstance(found, int) else [f"[{number}]" for number in found]


class Arrays:
    """A catalog (catalog.py) of arrays: `values`, `labels` if there are any, and `targets` by their paths in the network."""

    index = None
    excluded = 0
    unmatched: tuple[str, ...] = ()
    ignored: Mapping[str, int] = {}

    def __init__(
        self, values: Rows, labels: Sequence[str] | None, targets: Mapping[str, Rows], changed: int
    ) -> None:
        self._values, self._texts, self._targets, self._changed = values, labels, targets, changed
        self._count = values.column.shape[0]
        self.kinds = Counter({ARRAY_SET: 1})
        self.names = Numbers(self._count)

    @cached_property
    def labels(self) -> Sequence[tuple[str, str]] | None:
        if self._texts is None:
            return None
        firsts: dict[str, str] = {}
        for number, text in enumerate(self._texts):
            firsts.setdefault(text, self.names[number])
        return list(firsts.items())

    @cached_property
    def _numbers(self) -> NDArray[np.int32]:
        numbers = {label: number for number, (label, _) in enumerate(self.labels or ())}
        return np.array([numbers[text] for text in self._texts or ()], np.int32)

    def labelled(self, places: Sequence[int] | None = None) -> NDArray[np.int32]:
        return self._numbers if places is None else self._numbers[places]

    @cached_property
    def inventory(self) -> Inventory:
        return Inventory(self._stored)

    def _stored(self) -> Iterator[Stored]:
        rows = [self._values, *self._targets.values()]
        size = sum(prod(each.column.shape[1:]) * np.dtype(each.column.dtype).itemsize for each in rows)
        for number, name in enumerate(self.names):
            yield Stored(name, size, None if self._texts is None else self._texts[number], self._changed)

    def shown(self, place: int) -> str:
        return self.names[place]

    def load(self, place: int) -> Loaded:
        """Return the values of a sample; the checksum is that of its targets, too."""
        row = self._values.stored(place)
        stored = [row, *(rows.stored(place) for rows in self._targets.values())]
        return Loaded(self._values.sample(row, place), checksum(b"".join(each.tobytes() for each in stored)))

    def targets(self, places: Sequence[int], at: Mapping[str, Region] | None = None) -> dict[str, Reals]:
        """Return the targets of samples, `[n, rows, columns, maps]` by path, all or a region of each."""
        return {
            path: np.stack([_cut(rows.sample(rows.stored(n), n), at[path] if at else None) for n in places])
            for path, rows in self._targets.items()
        }


def _cut(values: Reals, region: Region | None) -> Reals:
    if region is None:
        return values
    return values[region.rows.start : region.rows.stop, region.columns.start : region.columns.stop]


def data_set(
    columns: Columns,
    data: ArraySet,
    graph: Graph,
    base: Path,
    cache_bytes: int = CACHE_BYTES,
    kept: Kept | None = None,
    classes: Classes = order_classes,
    scan: bool = False,
) -> Dataset:
    """Return columns as the data set of a run of `graph`; raises `LnetError`. The rest as in `open_frames`.

    `scan`: whether all values are looked at now; otherwise each is when it is read.
    """
    sheets = {layer.path: layer.sheet for layer in graph.targets}
    dtype = graph.training.dtype
    values = _rows(columns, data.values, graph.input.sheet, dtype, scan)
    wanted = data.of_targets(list(sheets)) if sheets else {}
    others = [*wanted.values(), *([] if data.labels is None else [data.labels])]
    if columns.whatever and others:
        raise refused(
            "E704",
            f"{columns.where} is one array, and there is none for '{others[0]}'",
            hint="name a folder of .npy files, or a .npz",
        )
    targets = {path: _rows(columns, name, sheets[path], dtype, scan) for path, name in wanted.items()}
    count = values.column.shape[0]
    for rows in targets.values():
        if rows.column.shape[0] != count:
            raise refused(
                "E704", f"{values.what} has {count:,} samples, and {rows.what} {rows.column.shape[0]:,}"
            )
    labels = None
    if data.labels is not None:
        labels = label_texts(columns.whole(data.labels), count, columns.where)
    frames = Frames(data.path, graph.input.sheet.size, "center", False, data.normalize, classes=data.classes)
    kept = kept or Kept()
    catalog = Arrays(values, labels, targets, columns.changed)
    order = ordering(kept, classes, frames, base)
    return Dataset(frames, catalog, graph.training.seed, cache_bytes, order, kept.order, dtype)


def prepared_rows(values: Any, sheet: Sheet, how: Normalization, dtype: str) -> Reals:
    """Return values `[n, ...]` as a network takes them, `[n, row, column, map]`; raises `LnetError` for unfit ones."""
    columns = columns_of({"values": converted(values, "'images'", _expected(sheet))})
    rows = _rows(columns, "values", sheet, dtype, scan=True)
    count = rows.column.shape[0]
    if not count:
        raise refused("E716", "expected at least one sample, found none")
    return normalize(np.stack([rows.sample(rows.stored(place), place) for place in range(count)]), how)


def _rows(columns: Columns, name: str, sheet: Sheet, dtype: str, scan: bool) -> Rows:
    rows = Rows(columns[name], sheet, f"the array '{name}' in {columns.where}", dtype)
    rows.check()
    if scan:
        rows.scan()
    return rows
