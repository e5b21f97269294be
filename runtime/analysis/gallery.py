"""What has been drawn of a run, kept in it: pictures, and the figures that belong to them.

runs/a/pictures/
    stimuli.V3.norm-4-7-2.json              a record: kind, name, figures; written last
    stimuli.V3.norm-4-7-2.top.png           its pictures

Drawn again, a record replaces the one of its kind and name, and the files that only the old one had are removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnet.compiler.files import listed, unreadable, write_aside
from lnet.dsl.diagnostics import refused
from lnet.runtime.store.run import Run

from .contact import Pixels, png


@dataclass(frozen=True)
class Record:
    """One thing that was drawn: its figures, and where its files are: pictures, arrays."""

    kind: str
    name: str
    figures: Mapping[str, Any]
    files: Mapping[str, Path]


def keep(
    run: Run, kind: str, name: str, figures: Mapping[str, Any], files: Mapping[str, Pixels | bytes]
) -> Record:
    """Keep a record in a run; files, by what follows its name in theirs, are pixels or whole. Raises `LnetError`."""
    folder = run.directory / "pictures"
    record = Record(kind, name, figures, {suffix: folder / f"{kind}.{name}.{suffix}" for suffix in files})
    try:
        folder.mkdir(exist_ok=True)
        old = {path for before in kept(run, kind) if before.name == name for path in before.files.values()}
        for suffix, path in record.files.items():
            content = files[suffix]
            write_aside(path, content if isinstance(content, bytes) else png(content))
        text = json.dumps({"kind": kind, "name": name, "files": list(files), "figures": figures}, indent=2)
        write_aside(folder / f"{kind}.{name}.json", text)
        for path in old - set(record.files.values()):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise refused("E744", f"'{folder}' cannot be written", str(error)) from error
    return record


def kept(run: Run, kind: str) -> Iterator[Record]:
    """Yield the records of a kind, in the order of their names; damaged ones are passed over. Raises `LnetError`."""
    for path in listed(run.directory / "pictures", f"{kind}.*.json"):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            files = {suffix: path.with_suffix(f".{suffix}") for suffix in found["files"]}
            record = Record(found["kind"], found["name"], found["figures"], files)
        except (FileNotFoundError, ValueError, KeyError):
            continue
        except OSError as error:
            raise unreadable(path, error) from error
        if all(file.is_file() for file in files.values()):
            yield record
