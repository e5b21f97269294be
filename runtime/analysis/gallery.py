"""The gallery of a run: pictures of its analyses, and their figures.

runs/a/pictures/
    stimuli.V3.norm-4-7-2.json              a record: kind, name, figures; written last
    stimuli.V3.norm-4-7-2.top.png           its pictures

A new record replaces the one of the same kind and name, and files that only the old one had are removed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lnet.compiler.files import listed, unreadable, write_aside, written_aside
from lnet.dsl.diagnostics import refused
from lnet.runtime.store.run import Run

from .contact import Pixels, png

Content = Pixels | bytes | Callable[[BinaryIO], None]
"""Of a file: a picture, bytes, or what writes it."""


@dataclass(frozen=True)
class Record:
    """A record in the gallery: its figures, and the paths of its pictures and arrays."""

    kind: str
    name: str
    figures: Mapping[str, Any]
    files: Mapping[str, Path]


def keep(run: Run, kind: str, name: str, figures: Mapping[str, Any], files: Mapping[str, Content]) -> Record:
    """Keep a record in a run; `files` are by the end of their names. Raises `LnetError`."""
    folder = run.directory / "pictures"
    record = Record(kind, name, figures, {suffix: folder / f"{kind}.{name}.{suffix}" for suffix in files})
    try:
        folder.mkdir(exist_ok=True)
        old = {path for before in kept(run, kind) if before.name == name for path in before.files.values()}
        for suffix, path in record.files.items():
            with written_aside(path) as file:
                _write(files[suffix], file)
        text = json.dumps({"kind": kind, "name": name, "files": list(files), "figures": figures}, indent=2)
        write_aside(folder / f"{kind}.{name}.json", text)
        for path in old - set(record.files.values()):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise refused("E744", f"'{folder}' cannot be written", str(error)) from error
    return record


def _write(content: Content, file: BinaryIO) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content if isinstance(content, bytes) else png(content))


def kept(run: Run, kind: str) -> Iterator[Record]:
    """Yield the records of a kind, sorted by name; damaged ones are skipped. Raises `LnetError`."""
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
