"""The log of a run, `events.jsonl`: one event a line, as JSON (events.py has the kinds).

A process may be killed at any moment, so the last line may be cut off; after a resume, lines of later steps that
came before it are void. A line of a kind that a newer version knows is passed over.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from lnet.compiler.core.codec import Codec, Malformed
from lnet.compiler.files import unreadable
from lnet.dsl.diagnostics import LnetWarning, refused

from .events import (
    LOGGED,
    CheckpointWritten,
    ClusterBegun,
    ClusterStepDone,
    Completed,
    Event,
    LogEvent,
    Resumed,
    StepDone,
)

CODEC = Codec(tolerant=True)
KINDS: dict[str, type[LogEvent]] = {kind.name: kind for kind in LOGGED if kind is not ClusterStepDone}
STEP = b'{"event": "step",'
"""How the line of a step begins."""


def encode(event: Event) -> dict[str, Any]:
    """Return an event as JSON data: its name, then its fields, without those that are None and are so by default."""
    kind: Any = type(event)
    data, absent = CODEC.encode(event), _absent(kind)
    return {"event": event.name} | {
        name: value for name, value in data.items() if value is not None or name not in absent
    }


@cache
def _absent(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind) if field.default is None)


E = TypeVar("E", bound=Event)


def decode(data: Any, kinds: Mapping[str, type[E]]) -> E | None:
    """Return the event of JSON data, None for one of no known kind; raises `Malformed`."""
    name = data.get("event") if isinstance(data, dict) else None
    if not isinstance(name, str):
        raise Malformed("it has no 'event'")
    if name not in kinds:
        return None
    kind: Any = ClusterStepDone if name == StepDone.name and "replica" in data else kinds[name]
    return CODEC.decode(kind, data, name)  # type: ignore[no-any-return]


class EventLog:
    """Appends events to a run's log; those that the disk has no room for are kept until it has, which is `told` once."""

    def __init__(self, path: Path, told: Callable[[str], None] = lambda message: None) -> None:
        try:
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 (open as long as the run)
        except OSError as error:
            raise refused("E744", f"'{path}' cannot be written", str(error)) from error
        self._path, self._told, self._kept = path, told, b""
        self._end_last_line()

    def _end_last_line(self) -> None:
        """End a line that a killed process left unfinished."""
        if self._file.seek(0, 2):
            self._file.seek(-1, 2)
            if self._file.read(1) != b"\n":
                self._kept = b"\n"

    def add(self, event: LogEvent) -> None:
        """Append an event, as of now."""
        line = json.dumps(encode(replace(event, time=round(time.time(), 3))))
        late = len(self._kept) > 1
        self._kept += line.encode() + b"\n"
        try:
            while self._kept:
                self._kept = self._kept[self._file.write(self._kept) :]
        except OSError as error:
            if not late:
                self._told(f"'{self._path.name}' cannot be written now, so events are kept: {error}")

    def close(self) -> None:
        if len(self._kept) > 1:
            lost = self._kept.count(b"\n")
            self._told(f"'{self._path.name}' could not be written: its last {lost:,} events are lost")
        self._file.close()


def read_events(path: Path, steps: bool = True) -> list[LogEvent]:
    """Return the events of a run, with or without its steps, and without those that a resume made void.

    Raises `LnetError` if the log is there and cannot be read; warns of lines that are no events.
    """
    return list(stream_events(path, steps))


def stream_events(path: Path, steps: bool = True) -> Iterator[LogEvent]:
    """Yield what `read_events` returns, one by one: the log is read twice, and never held as a whole."""
    resumes = _lines(path, lambda line: b'"resume"' in line)
    resumed = [event.step for event in resumes if isinstance(event, Resumed)]
    replicas = 1  # whose steps the process counted that logged what comes next
    for event in _lines(path, lambda line: steps or not line.startswith(STEP)):
        match event:
            case Resumed():
                resumed = resumed[1:]
                replicas = 1
            case ClusterBegun():
                replicas = event.replicas
        if not resumed or not any(_is_void(event, replicas, step) for step in resumed):
            yield event


def _is_void(event: Event, replicas: int, step: int) -> bool:
    """Whether a run that goes on from a step of each replica does again what an event tells of."""
    match event:
        case StepDone():
            return event.step > step * replicas
        case CheckpointWritten() | Completed():
            return event.step > step
    return False


def _lines(path: Path, wanted: Callable[[bytes], bool]) -> Iterator[LogEvent]:
    """Yield the wanted events that are whole."""
    try:
        with path.open("rb") as file:
            for line in file:
                event = _event(path, line) if wanted(line) else None
                if event is not None:
                    yield event
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(path, error) from error


def _event(path: Path, line: bytes) -> LogEvent | None:
    """Return the event of a line, None for one that a crash cut off or that a newer version wrote."""
    try:
        data = json.loads(line)
    except ValueError:
        return None
    try:
        return decode(data, KINDS)
    except Malformed as error:
        warnings.warn(f"'{path}' has a line that is no event: {error}", LnetWarning, stacklevel=2)
        return None
