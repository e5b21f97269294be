"""A list of images, `.csv`: a row for each, with its path, relative to the list, and its label.

    path,label
    cats/0001.jpg,cat
    "dogs/at sea, 1.jpg",dog

Other columns are not read. Like those of a folder, the images are in the order of their names.
"""

from __future__ import annotations

import csv
from array import array
from dataclasses import dataclass, field, replace
from posixpath import dirname, join, normpath
from sys import intern

from lnet.dsl.diagnostics import LnetError, refused

from .files import Files, open_files
from .listing import cannot_be_read, stat_of
from .samples import Place

PATH, LABEL = "path", "label"


@dataclass(frozen=True)
class Rows:
    """The rows of a list: names of images, labels if there is a column of them, and numbers of lines."""

    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    lines: array[int] = field(default_factory=lambda: array("q"))


def open_list(place: Place) -> Files:
    """Open the images that a list names; raises `LnetError` for a damaged list, and for files and labels that are missing.

    Without a column of labels they are in files beside the images.
    """
    (path,) = place.names
    changed = stat_of(place.path)[1]
    rows = _read(place)
    missing = [n for n, name in enumerate(rows.names) if stat_of(place.root / name)[0] < 0]
    if missing:
        raise _lacking(
            "E714", "are missing", missing, rows, place, "paths in a list are relative to the list"
        )
    order = sorted(range(len(rows.names)), key=rows.names.__getitem__)
    names = tuple(rows.names[n] for n in order)
    if place.labels is None or not rows.labels:
        return replace(open_files(replace(place, names=names)), searched={path: changed})
    unlabelled = [n for n, label in enumerate(rows.labels) if not label]
    if unlabelled:
        raise _lacking("E707", "have no label", unlabelled, rows, place, f"fill the column '{LABEL}'")
    labels = [rows.labels[n] for n in order]
    return Files(place.root, names, place.channels, labels, searched={path: changed})


def _read(place: Place) -> Rows:
    rows, folder = Rows(), dirname(place.names[0])
    try:
        with open(place.path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = [name.strip() for name in next(reader, [])]
            if PATH not in columns:
                listed = ", ".join(f"'{name}'" for name in columns) or "none"
                raise csv.Error(f"it has no column '{PATH}'; its columns are {listed}")
            for cells in filter(None, reader):
                row, line = dict(zip(columns, cells, strict=False)), reader.line_num
                if len(cells) != len(columns) or not row[PATH] or "\0" in "".join(cells):
                    raise csv.Error(
                        f"line {line:,} does not have {len(columns)} columns, with a path in '{PATH}'"
                    )
                rows.names.append(normpath(join(folder, row[PATH])))
                rows.lines.append(line)
                if LABEL in row:
                    rows.labels.append(intern(row[LABEL].strip()))  # one text, however many images have it
    except OSError as error:
        raise cannot_be_read(place.path, error) from error
    except (UnicodeDecodeError, csv.Error) as error:
        hint = f"its first line names its columns, '{PATH},{LABEL}', and each other line is an image"
        raise refused("E714", f"'{place.path}' is not a list of images", str(error), hint=hint) from error
    return rows


def _lacking(code: str, what: str, some: list[int], rows: Rows, place: Place, hint: str) -> LnetError:
    """Return the error for some rows of a list; it names the first."""
    name, line = rows.names[some[0]], rows.lines[some[0]]
    return refused(
        code,
        f"of the {len(rows.names):,} images in the list '{place.path}' {len(some):,} {what}",
        f"the first is '{place.root / name}' in line {line:,}",
        hint=hint,
    )
