"""The log of a run, `events.jsonl`: one event a line, as JSON (events.py has the kinds).

A process may be killed at any moment, so the last line may be cut off; after a resume, lines of later steps that
came before it are void. A line of a kind that a newer version knows is passed over.

Whoever trains the run makes a long log shorter (thin.py). The new file is written aside, under the owner's token, synced,
and renamed once more has been asked whether it is the owner still (owner.py); who begins next removes what is aside
before it opens the log. A reader has one file from its first line to its last, whatever takes its place meanwhile.

    .events.jsonl.3f2a     | sums of old steps, all other events | the newest lines as they are |
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from lnet.compiler.core.codec import Codec, Malformed
from lnet.compiler.files import Unreadable, listed, sync_folder, unreadable, written_aside
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
    StepsDone,
    Validated,
)
from .owner import Owner
from .thin import length_of, steps_in, thinned

CODEC = Codec(tolerant=True)
KINDS: dict[str, type[LogEvent]] = {kind.name: kind for kind in LOGGED if kind is not ClusterStepDone}
STEPS = (b'{"event": "step",', b'{"event": "steps",')
"""How the lines of steps begin."""
_STEP_DECODERS = [msgspec.json.Decoder(kind).decode for kind in (StepDone, ClusterStepDone)]
"""Decoders of the usual lines of steps, which are most of a log, in one process and on a cluster."""
LONG = 32 << 20
"""Bytes from which on a log is thinned; the newest half of so many stays as it is."""
RESUMABLE = 16
"""So many of the newest checkpoints are ends of sums, since a resume may go on from them."""


def encode(event: Event) -> dict[str, Any]:
    """Return an event as JSON data: its name, then its fields, without those that are None and are so by default."""
    kind: Any = type(event)
    data, absent = CODEC.encode(event), _absent(kind)
    return {"event": event.name} | {
        name: value for name, value in data.items() if value is not None or name not in absent
    }


def line_of(event: Event) -> bytes:
    """Return the line of an event."""
    return json.dumps(encode(event)).encode() + b"\n"


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
    """Appends events to a run's log; those that the disk has no room for are kept until it has, which is `told` once.

    The log of an `owner` is thinned when it is long; raises `TakenOver` then, if the run has another owner by now.
    """

    def __init__(
        self,
        path: Path,
        told: Callable[[str], None] = lambda message: None,
        owner: Owner | None = None,
    ) -> None:
        self._path, self._told, self._owner, self._kept = path, told, owner, b""
        self._limit = LONG
        try:
            if owner is not None:
                for aside in listed(path.parent, f".{path.name}.*"):
                    aside.unlink()
            self._append_to(path)
        except OSError as error:
            raise refused("E744", f"'{path}' cannot be written", str(error)) from error
        self._end_last_line()

    def _append_to(self, path: Path) -> None:
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 (open as long as the run)
        self._size = self._file.seek(0, 2)

    def _end_last_line(self) -> None:
        """End a line that a killed process left unfinished."""
        if self._size:
            self._file.seek(-1, 2)
            if self._file.read(1) != b"\n":
                self._kept = b"\n"

    def add(self, event: LogEvent) -> None:
        """Append an event, as of now."""
        late = len(self._kept) > 1
        self._kept += line_of(replace(event, time=round(time.time(), 3)))
        try:
            while self._kept:
                written = self._file.write(self._kept)
                self._kept, self._size = self._kept[written:], self._size + written
        except OSError as error:
            if not late:
                self._told(f"'{self._path.name}' cannot be written now, so events are kept: {error}")
            return
        if self._owner is not None and self._size > self._limit:
            self._thin(self._owner)

    def _thin(self, owner: Owner) -> None:
        """Put a thinned log in the place of this one; if the disk has no room for it, later."""
        before = self._file
        try:
            owner.check()
            with written_aside(self._path, owner.short) as aside:
                aside.writelines(_thinned(self._path, self._size - LONG // 2))
                aside.flush()
                self._append_to(Path(aside.name))
                owner.check()
            before.close()
            sync_folder(self._path.parent)
        except (OSError, Unreadable) as error:
            if not before.closed:
                self._file = before
            self._told(f"'{self._path.name}' could not be made shorter now: {error}")
        self._limit = max(LONG, 2 * self._size)

    def close(self) -> None:
        if len(self._kept) > 1:
            lost = self._kept.count(b"\n")
            self._told(f"'{self._path.name}' could not be written: its last {lost:,} events are lost")
        self._file.close()


def read_events(path: Path, steps: bool = True) -> list[LogEvent]:
    """Return the events of a run, with or without its steps, and without those that a resume invalidated.

    Raises `LnetError` if the log is there and cannot be read; warns of lines that are no events.
    """
    return list(stream_events(path, steps))


def stream_events(path: Path, steps: bool = True) -> Iterator[LogEvent]:
    """Yield what `read_events` returns, one by one: the log is read twice, and never held as a whole."""
    with _opened(path) as file:
        yield from valid_events(path, file, lambda line: steps or not line.startswith(STEPS))


def valid_events(
    path: Path, file: BinaryIO, wanted: Callable[[bytes], bool] = lambda line: True, end: int | None = None
) -> Iterator[LogEvent]:
    """Yield the wanted events of a log, as far as `end`, without those that a resume anywhere in it made void."""
    resumes = _lines(path, file, lambda line: b'"resume"' in line)
    resumed = [event.step for event in resumes if isinstance(event, Resumed)]
    for replicas, event in _with_replicas(_lines(path, file, wanted, end)):
        if isinstance(event, Resumed):
            resumed = resumed[1:]
        if not resumed or not any(_is_void(event, replicas, step) for step in resumed):
            yield event


def _with_replicas(events: Iterable[LogEvent]) -> Iterator[tuple[int, LogEvent]]:
    """Yield each event with the number of replicas whose steps the process counts that logged it."""
    replicas = 1
    for event in events:
        replicas = replicas_from(event, replicas)
        yield replicas, event


def replicas_from(event: Event, before: int) -> int:
    """Return the number of replicas whose steps are counted from an event on."""
    match event:
        case Resumed():
            return 1
        case ClusterBegun():
            return event.replicas
    return before


def _is_void(event: Event, replicas: int, step: int) -> bool:
    """Whether a run that goes on from a step of each replica does again what an event tells of."""
    match event:
        case StepDone() | StepsDone():
            return event.step > step * replicas
        case Validated() | CheckpointWritten() | Completed():
            return event.step > step
    return False


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a log, which is empty if there is none; raises `LnetError` if it cannot be read."""
    try:
        file: BinaryIO = path.open("rb")
    except FileNotFoundError:
        file = BytesIO()
    except OSError as error:
        raise unreadable(path, error) from error
    with file:
        try:
            yield file
        except OSError as error:
            raise unreadable(path, error) from error


def _lines(
    path: Path, file: BinaryIO, wanted: Callable[[bytes], bool], end: int | None = None
) -> Iterator[LogEvent]:
    """Yield the wanted events that are whole, of the lines that begin before the byte `end`, or of all."""
    position = file.seek(0)
    for line in file:
        if end is not None and position >= end:
            return
        position += len(line)
        event = event_of(path, line) if wanted(line) else None
        if event is not None:
            yield event


def _thinned(path: Path, end: int) -> Iterator[bytes]:
    """Yield the content of a log, thinned as far as the line with the byte before `end`; raises `LnetError`."""
    with _opened(path) as file:
        rare = valid_events(path, file, lambda line: not line.startswith(STEPS))
        checkpoints = [
            event.step * replicas
            for replicas, event in _with_replicas(rare)
            if isinstance(event, CheckpointWritten)
        ]
        count = sum(map(steps_in, _lines(path, file, lambda line: line.startswith(STEPS[1]), end)))
        file.seek(0)
        count += sum(line.startswith(STEPS[0]) for line in file)
        valid = valid_events(path, file, end=end)
        for event in thinned(valid, length_of(count), sorted(checkpoints[-RESUMABLE:])):
            yield line_of(event)
        file.seek(end - 1)
        file.readline()
        while content := file.read(1 << 20):
            yield content


def event_of(path: Path, line: bytes) -> LogEvent | None:
    """Return the event of a line, None for one that a crash cut off or that a newer version wrote."""
    if line.startswith(STEPS[0]) and line.isascii():
        try:
            return _STEP_DECODERS[b'"replica"' in line](line)
        except msgspec.MsgspecError:
            pass  # not as such lines usually are: of a loss that is no number, for one
    try:
        data = json.loads(line)
    except ValueError:
        return None
    try:
        return decode(data, KINDS)
    except Malformed as error:
        warnings.warn(f"'{path}' has a line that is not an event: {error}", LnetWarning, stacklevel=2)
        return None
