"""A labelled set: positive and negative images, and the source of each.

Labels are the names of folders, or stand beside the images: in files, a list or an array. Images of one source
(a person, a photo, a video) are not independent, so halves and resamples are made of sources. An image's source follows
from its name, from a table, or from both, one after the other:

    name  face/000001.jpg  --FILE.csv:source-->  lfw/Steve_Nash_0003@14,2,94m  --'[^@]*'-->  lfw/Steve_Nash_0003
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from posixpath import basename, normpath

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Sheet, Size
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import LnetError, error_of, refused
from lnet.runtime.analysis.labels import sought_label
from lnet.runtime.data import Dataset, open_frames
from lnet.runtime.data.in_memory import path_of


@dataclass(frozen=True)
class LabelledSet:
    """Images of a path by their `places` in the order of the files: whether each is positive, its source and its label.

    The path is relative to `base`; `labels` are numbers of `classes`.
    """

    path: str
    base: Path
    label: str
    against: str
    places: NDArray[np.int64]
    positive: NDArray[np.bool_]
    sources: NDArray[np.int64]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]

    @property
    def count(self) -> int:
        return len(self.places)

    def open(self, sheet: Sheet) -> Dataset:
        """Return the images, resized to a network's input, in 0..1."""
        return _opened(self.path, self.base, sheet, None)

    def decodable(self, dataset: Dataset) -> LabelledSet:
        """Return the set without images that cannot be decoded; raises `LnetError` if all are."""
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="lnet-decode") as pool:
            kept = np.array(list(pool.map(dataset.decodable, self.places.tolist())))
        if not kept.any():
            raise dataset.undecodable(self.count)
        return self.those(kept)

    def those(self, kept: NDArray[np.bool_]) -> LabelledSet:
        """Return the set with some of its images."""
        of_images = ("places", "positive", "sources", "labels")
        return replace(self, **{name: getattr(self, name)[kept] for name in of_images})


def open_set(
    path: str | os.PathLike[str],
    label: str | None = None,
    against: str | None = None,
    sources: Sequence[str] = (),
    labels: str = "folder",
) -> LabelledSet:
    """Open images with labels; raises `LnetError`.

    label     what is sought. Of two labels, unless it is given, the one that is not `distractor`; else the one with
              fewer images, of equals the first by name.
    against   the label that it is told from; all others unless it is given.
    sources   how an image's name becomes its source: tables `FILE.csv[:COLUMN]` and regular expressions (their first
              group, or the whole match), each applied to what the one before made. Without, each image is its own.
    labels    where labels are, `folder` or `file`, as in `frames(...)`.
    """
    base = Path().resolve()
    images = _labelled(path_of(path), base, labels)
    assert images.classes is not None, "images without labels are refused"
    assert images.labels is not None
    sought = sought_label(images, label, against)
    positive = images.labels == images.classes.index(sought)
    others = ~positive if against is None else images.labels == images.classes.index(against)
    places = np.flatnonzero(positive | others)
    names = [normpath(images.names[place]) for place in places.tolist()]
    for step in sources:
        names = _applied(step, names, Path(path))
    numbers = np.unique(names, return_inverse=True)[1] if sources else np.arange(len(places))
    rest = [name for name in images.classes if name != sought]
    against = against or (rest[0] if len(rest) == 1 else "rest")
    return LabelledSet(
        path=str(path),
        base=base,
        label=sought,
        against=against,
        places=places,
        positive=positive[places],
        sources=numbers.astype(np.int64),
        classes=images.classes,
        labels=images.labels[places].astype(np.int64),
    )


def open_all(path: str | os.PathLike[str], labels: str = "folder") -> LabelledSet:
    """Open images with labels of which none is sought, each a source of its own; raises `LnetError`.

    `labels` as in `open_set`.
    """
    base = Path().resolve()
    images = _labelled(path_of(path), base, labels)
    assert images.classes is not None, "images without labels are refused"
    assert images.labels is not None
    places = np.arange(images.count)
    none = np.zeros(images.count, bool)
    return LabelledSet(
        str(path), base, "", "", places, none, places, images.classes, images.labels.astype(np.int64)
    )


def _labelled(path: str, base: Path, labels: str) -> Dataset:
    any_sheet = Sheet(1, 1, 3)
    try:
        images = _opened(path, base, any_sheet, None)
        return images if images.classes is not None else _opened(path, base, any_sheet, labels)
    except LnetError as error:  # its hints concern the language
        raise error_of([replace(found, hints=()) for found in error.diagnostics]) from error


def _opened(path: str, base: Path, sheet: Sheet, labels: str | None) -> Dataset:
    frames = Frames(path, Size(sheet.height, sheet.width), "resize", False, "none", labels)
    return open_frames(frames, sheet.maps, base, 0)


# --- sources --------------------------------------------------------------------------------------------------------


def _applied(step: str, names: list[str], images: Path) -> list[str]:
    table, _, column = step.partition(".csv")
    if step.endswith(".csv") or column.startswith(":"):
        return _looked_up(Path(f"{table}.csv"), column[1:] or "source", names, images)
    try:
        pattern = re.compile(step)
    except re.error as error:
        raise refused("E771", f"'{step}' is no regular expression", str(error)) from error
    matches = [pattern.search(name) for name in names]
    if None in matches:
        missing = names[matches.index(None)]
        raise refused("E771", f"'{step}' matches nothing in '{missing}'")
    return [(match[1] or "" if pattern.groups else match[0]) for match in matches if match is not None]


def _looked_up(table: Path, column: str, names: list[str], images: Path) -> list[str]:
    """Look up names in a table, by its column `name`, or `file` if there is none.

    They are whole names or file names. Of a table of several sets the rows count whose `file` is this one.
    """
    rows = _rows(table)
    key = "name" if "name" in rows[0] else "file"
    for needed in (key, column):
        if needed not in rows[0]:
            found = "its columns are " + ", ".join(f"'{name}'" for name in rows[0])
            raise refused("E771", f"the table '{table}' has no column '{needed}'", found)
    ours = [row for row in rows if row.get("file") == images.name]
    known: dict[str, str] = {}
    for row in ours if key == "name" and ours else rows:
        if known.setdefault(normpath(row[key]), row[column]) != row[column]:
            raise refused("E771", f"the table '{table}' has two sources for '{row[key]}'")
    keys = [name if name in known else basename(name) for name in names]
    missing = [name for name, key in zip(names, keys, strict=True) if key not in known]
    if missing:
        raise refused(
            "E771",
            f"the table '{table}' lacks {len(missing):,} of {len(names):,} images",
            f"first '{missing[0]}'",
        )
    return [known[key] for key in keys]


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, restkey="", restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise refused("E771", f"the table '{table}' cannot be read", str(error)) from error
    if not rows:
        raise refused("E771", f"the table '{table}' is empty")
    return rows
