"""How far a service has a run: a file in the run for each service and place in it.

    RUN/tracked/wandb-5c1d03a7.json     {"service": "wandb", "place": "faces", "id": "3f2a...", "position": {...}, ...}

It is written after the service has taken what it tells of. Who is killed in between sends the same again, which services
tell from something new (services/). One process at a time sends a run to a place.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from lnet.compiler.files import unreadable, write_aside
from lnet.dsl.diagnostics import Diagnostic, RunError, refused

from .tracker import State

FOLDER = "tracked"


class Busy(RunError):
    """Another process sends the run to this place."""


@dataclass
class Position:
    """Of a log: the last step, validation and checkpoint that were sent, -1 for none, each as a step of each replica; how
    many messages; how often the run had turned back (`turns`) when they were; the state that the service was told.
    """

    step: int = -1
    validation: int = -1
    checkpoint: int = -1
    messages: int = 0
    turns: int = 0
    state: str = "running"

    @property
    def last(self) -> int:
        """The last step that anything was sent of, -1 for none."""
        return max(self.step, self.validation, self.checkpoint)


@dataclass
class Record:
    """What a run keeps of itself in a service; `state` is the tracker's own, None before the service has the run.

    `name` is the run's name there, which it keeps when its directory is moved.
    """

    path: Path
    service: str
    place: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    position: Position = field(default_factory=Position)
    state: State | None = None
    name: str = ""

    def save(self) -> None:
        """Write it; raises `LnetError`."""
        data = {name: value for name, value in asdict(self).items() if name != "path"}
        try:
            write_aside(self.path, json.dumps(data, indent=2))
        except OSError as error:
            raise refused("E744", f"'{self.path.parent}' cannot be written", str(error)) from error


class _Stored(msgspec.Struct):
    id: str
    position: Position
    state: dict[str, Any] | None
    name: str = ""


def record_of(run: Path, service: str, place: str, again: bool = False) -> Record:
    """Return what a run keeps of a place in a service, of a new one if there is nothing, or `again` is asked for.

    Raises `LnetError` for a file that cannot be read.
    """
    path = _path(run, service, place)
    if again:
        return Record(path, service, place)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Stored)
    except FileNotFoundError:
        return Record(path, service, place)
    except OSError as error:
        raise unreadable(path, error) from error
    except msgspec.MsgspecError as error:
        hint = "to send the run anew, as another one: --again"
        raise refused("E795", f"'{path}' is damaged", str(error), hint=hint) from error
    name = found.name or run.resolve().name  # a record without one is of a run that was sent by this name
    return Record(path, service, place, found.id, found.position, found.state, name)


@contextmanager
def alone(run: Path, service: str, place: str) -> Iterator[None]:
    """Be the only process that sends a run to a place; raises `Busy` if another one does, and `LnetError`."""
    path = _path(run, service, place)
    try:
        path.parent.mkdir(exist_ok=True)
        file = open(path.with_name(f".{path.stem}.lock"), "w")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise refused("E744", f"'{path.parent}' cannot be written", str(error)) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            hint = "it sends all that comes; to send it elsewhere, name another project or directory"
            message = f"another process sends '{run}' to {service} already"
            raise Busy([Diagnostic("E795", message, hints=(hint,))]) from error
        yield


def _path(run: Path, service: str, place: str) -> Path:
    return run / FOLDER / f"{service}-{hashlib.sha256(place.encode()).hexdigest()[:8]}.json"
