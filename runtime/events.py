"""The log of a run, `events.jsonl`: one JSON object a line, each with `event` and `time` (seconds since 1970).

    start        steps, images in the data, versions and machine
    step         step (updates done), images (seen), loss, terms {path: value}, objectives {path: sum of its terms},
                 seconds (of the step), waited (for data)
    checkpoint   step, file
    warning      message
    resume       step
    interrupted  step
    failed       step, message
    done         step

A process may be killed at any moment, so the last line may be cut off; after a resume, lines of later steps that
came before it are void.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class EventLog:
    """Appends events to a run's log."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a+b")  # noqa: SIM115 (open as long as the run)
        self._end_last_line()

    def _end_last_line(self) -> None:
        """End a line that a killed process left unfinished."""
        if self._file.seek(0, 2):
            self._file.seek(-1, 2)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def add(self, event: str, **details: Any) -> None:
        line = json.dumps({"event": event, "time": round(time.time(), 3), **details}, allow_nan=True)
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_events(path: Path) -> list[Event]:
    """Return the events of a run, without those that a resume made void."""
    events: list[Event] = []
    for event in _lines(path):
        if event["event"] == "resume":
            step = event["step"]
            events = [
                e for e in events if e["event"] not in ("step", "checkpoint", "done") or e["step"] <= step
            ]
        events.append(event)
    return events


def _lines(path: Path) -> Iterator[Event]:
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # cut off by a crash
        if isinstance(event, dict) and "event" in event:
            yield event
