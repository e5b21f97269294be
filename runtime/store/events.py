"""The log of a run, `events.jsonl`: one JSON object a line, each with `event` and `time` (seconds since 1970).

    start        steps, images in the data, and all that run.json has
    data         message (a sentence on all that follows and on passes over the data), path (none: an array), sources
                 {folder, file, archive, array file or video: how many}, ignored {suffix: files that are no images},
                 excluded (images)
    step         step (updates done), images (seen), loss, terms {path: value}, objectives {path: sum of its terms},
                 accuracies {"path top-1": share of the images},
                 seconds (of the step), waited (for data)
    checkpoint   step, file
    warning      message
    resume       step, torn (updates after it that are in some arrays of the checkpoint and not in others)
    interrupted  step
    failed       step, message
    done         step

A run on a cluster has these, too; replicas, tiles and shards are numbers, workers go by the names that people gave them:

    cluster      scheduler, workers, replicas, tiles, durability, wire: a process begins to train on a cluster
    step         replica, generation (of its tiles), bytes (that its tiles sent each other), traffic (to and from
                 servers elsewhere since the step before), slowest {tile, seconds, waited, exchanged (of these, for
                 other tiles)}: the tile that waited least for the others; `step` counts those of all replicas,
                 `seconds` and `waited` are the longest of any tile
    roles        replicas [{state, workers (by tile), generation}], shards [{primary, standby, ready, term}], workers:
                 logged whenever they change. States: waiting, starting, warming up, computing, lapsed, done
    promoted     shard, worker, term: a standby took the place of a lost primary
    worker lost  worker, replicas [{replica, tiles, acknowledged, steps, updates}], primaries, standbys (shards): what it
                 played; updates below `acknowledged` are safe, `steps` (of tiles) were computed for `updates` above
    repaired     worker, replica, still: the replica takes steps again; the longest time between two of them since then
    worker left  worker: it was drained
    lost         shard, checkpoint (that it goes on from), updates: acknowledged ones that no server held any more
    rollback     shard, checkpoint, step, reached: synchronous steps that are computed again
    lapsed       replica, batches (how many it gives back): no worker has room for its lost tiles
    torn         replica, number: an update that some shards had taken when it lost a tile, and others took later
    ages         ages {age: updates}, replicas [{age: updates}]: how many updates were taken between an update's fetch
                 and itself, counted at every shard since the process began
    refused      worker (none: the scheduler), reason, count: messages not taken; the 1st, 2nd, 4th, 8th, ... is logged
    ended        worker, cause, message: a process of a worker ended, as its nanny or it itself says: over its memory limit,
                 signal, exit, import error
    left out     worker, versions {name: [expected, found]}, or message and notes where it sees other images
    drained      worker, address: it has no role any more, and may be ended
    left         worker, refused {reason: count}: a process of a run that is over
    note         message

A process may be killed at any moment, so the last line may be cut off; after a resume, lines of later steps that
came before it are void.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lnet.compiler.files import unreadable
from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import refused

Event = dict[str, Any]
STEP = b'{"event": "step",'
"""How the line of a step begins."""


def losses(graph: Graph, terms: Mapping[str, float]) -> dict[str, Any]:
    """Return what a step's event says of its terms and accuracies."""
    own = {objective.path: terms.get(objective.path, 0.0) for objective in graph.objectives}
    objectives: dict[str, float] = {}
    for objective in graph.objectives:
        objectives[objective.part_of] = objectives.get(objective.part_of, 0.0) + own[objective.path]
    accuracies = {name: value for name, value in terms.items() if name not in own}
    return {"loss": sum(own.values()), "terms": own, "objectives": objectives, "accuracies": accuracies}


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

    def add(self, event: str, **details: Any) -> None:
        line = json.dumps({"event": event, "time": round(time.time(), 3), **details}, allow_nan=True)
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


def read_events(path: Path, steps: bool = True) -> list[Event]:
    """Return the events of a run, with or without its steps, and without those that a resume made void.

    Raises `LnetError` if the log is there and cannot be read.
    """
    return list(stream_events(path, steps))


def stream_events(path: Path, steps: bool = True) -> Iterator[Event]:
    """Yield what `read_events` returns, one by one: the log is read twice, and never held as a whole."""
    resumed = [
        event["step"]
        for event in _lines(path, lambda line: b'"resume"' in line)
        if event["event"] == "resume"
    ]
    replicas = 1  # whose steps the process counted that logged what comes next
    for event in _lines(path, lambda line: steps or not line.startswith(STEP)):
        if event["event"] == "resume":
            resumed = resumed[1:]
            replicas = 1
        elif event["event"] == "cluster":
            replicas = event["replicas"]
        if not any(_is_void(event, replicas, step) for step in resumed):
            yield event


def _is_void(event: Event, replicas: int, step: int) -> bool:
    """Whether a run that goes on from a step of each replica does again what an event tells of."""
    if event["event"] == "step":
        return bool(event["step"] > step * replicas)
    return event["event"] in ("checkpoint", "done") and event["step"] > step


def _lines(path: Path, wanted: Callable[[bytes], bool]) -> Iterator[Event]:
    """Yield the wanted events that are whole."""
    try:
        with path.open("rb") as file:
            for line in file:
                event = _event(line) if wanted(line) else None
                if event is not None:
                    yield event
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(path, error) from error


def _event(line: bytes) -> Event | None:
    """Return the event of a line, None for one that a crash cut off."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
