"""Events that the processes of a run publish on its topic, which Dask carries to the scheduler and to the command.

    process -- {"event": "tile", "place": "worker-2", ...} --> scheduler: overview, page, metrics
                                                          \\-> command: log, progress, errors

Some are logged as they are (store/events.py); those here are not, but become steps, ages, or the end of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lnet.compiler.core.codec import Malformed
from lnet.runtime.store import log
from lnet.runtime.store.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class TileComputed(Event):
    """A tile's part of a step: the `index`-th of update `number` of `slot`, of images whose digest is `images`.

    Its `seconds`, those of them that it `waited` for images and other tiles, and of these for other tiles (`exchanged`);
    `bytes` to other tiles; `traffic`: bytes to and from a server elsewhere since the step before; `read`: of the first
    tile, number and checksum of each image that its process had not read before.
    """

    name: ClassVar[str] = "tile"
    replica: int
    generation: int
    slot: int
    number: int
    index: int
    batch: int
    tile: int
    terms: Mapping[str, float]
    seconds: float
    waited: float
    exchanged: float
    bytes: int
    images: str
    read: tuple[tuple[int, int], ...]
    traffic: int = 0


@dataclass(frozen=True, slots=True)
class UpdateApplied(Event):
    """A primary applies an update of `slot`; `age`: how many others were taken between its fetch and itself."""

    name: ClassVar[str] = "update"
    shard: int
    slot: int
    number: int
    age: int


@dataclass(frozen=True, slots=True)
class ImagesOpening(Event):
    """A process still opens its images."""

    name: ClassVar[str] = "opening"


@dataclass(frozen=True, slots=True)
class ImagesDiffer(Event):
    """A tile's images of a `batch` are not those of tile `other`: their names and checksums, in hex."""

    name: ClassVar[str] = "other images"
    replica: int
    batch: int
    tile: int
    other: int
    names: tuple[str, ...]
    checksums: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TileDiverged(Event):
    """Paths of objectives and names of parameters whose values or gradients were not finite in a tile's step."""

    name: ClassVar[str] = "diverged"
    step: int
    replica: int
    tile: int
    objectives: tuple[str, ...]
    gradients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerFailed(Event):
    """An error in a worker, whose class is `kind`, which ends the run."""

    name: ClassVar[str] = "failure"
    message: str
    code: str | None = None
    notes: tuple[str, ...] | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class RunTakenOver(Event):
    """Another process trains the run by now."""

    name: ClassVar[str] = "taken over"
    by: str


@dataclass(frozen=True, slots=True)
class RunDeserted(Event):
    """There were too few workers for too long; a line for each that was lost, or has too little memory."""

    name: ClassVar[str] = "deserted"
    message: str
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunHopeless(Event):
    """Processes end again and again: how many in how many seconds, with how many rollbacks, a line for each worker that was
    `lost`; `memory`: some were over their limit.
    """

    name: ClassVar[str] = "hopeless"
    processes: int
    seconds: int
    rollbacks: int
    lost: tuple[str, ...]
    memory: bool


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """A run is over; `written`: its last checkpoint is; `complete`: it has taken all steps."""

    name: ClassVar[str] = "finished"
    checkpoint: int | None
    written: bool
    complete: bool
    refused: Mapping[str, int]


KINDS: Mapping[str, type[Event]] = log.KINDS | {
    kind.name: kind
    for kind in (
        *(TileComputed, UpdateApplied, ImagesOpening, ImagesDiffer, TileDiverged),
        *(WorkerFailed, RunTakenOver, RunDeserted, RunHopeless, RunFinished),
    )
}


@dataclass(frozen=True, slots=True)
class Published:
    """An event as it was published; `place`: the name of the worker, `address`: Dask's for it, empty for the scheduler."""

    event: Event
    place: str = ""
    address: str = ""


def as_worker(place: str) -> str:
    """Return the name that a worker goes by in a log: the one that a person gave it, or its address without a scheme."""
    return place.partition("://")[2] or place


def to_publish(event: Event, place: str = "") -> dict[str, Any]:
    """Return what is published of an event; `place`: the name of the worker that does so."""
    data = {name: value for name, value in log.encode(event).items() if name != "time"}
    return data | {"place": place} if place else data


def published(message: Any) -> Published | None:
    """Return what was published, None for what no process of a run does; raises `Malformed`.

    Dask adds a worker's address as `worker`; in events a worker goes by its name.
    """
    if not isinstance(message, dict):
        raise Malformed("an event is an object")
    place, address = str(message.get("place", "")), str(message.get("worker", ""))
    named = {"worker": as_worker(place)} if place else {}
    event = log.decode(message | named, KINDS)
    return None if event is None else Published(event, place, address if place else "")
