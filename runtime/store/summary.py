"""A run at a glance, from the beginnings and ends of its files: a thousand runs are read in a second or two, without JAX.

run.json, plan.json    what lists of runs tell, of all that is in them
events.jsonl           the first line, the last ones, and the last validation, which is searched for from the end
probes/*.json          the best neuron of each labelled set
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any

import msgspec

RECENT = 50
"""Number of steps at the end over which losses and accuracies are averaged, as in the report."""
TAIL = 1 << 17
"""Bytes at the end of a log in which the event that ended the run is looked for."""
TOP = " top-1"
"""How the names of accuracies end that are averaged."""
HIDDEN = ("ahead", "data.normalize.mean", "data.normalize.deviation")
"""Settings that are no differences between runs: what was measured of them or their images."""
WORDS = {"None": "none", "True": "true", "False": "false"}
"""The language's words for values of Python."""
INSIDE = ("run.json", "plan.json", "events.jsonl", "checkpoints")
"""What is in a run's directory; a folder with two of these and no run.json was one."""
STATES = {"done": "done", "interrupted": "stopped", "pruned": "pruned", "failed": "failed"}
"""The state of a run by the event that ended it last; otherwise it was killed, unless a process trains it."""


class Unreadable(Exception):
    """A folder that is no run that can be read, and why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Loss and mean top-1 accuracy after a step; the accuracy is None without labels."""

    step: int
    loss: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class BestNeuron:
    """The neuron that best tells a label of a set, and its accuracy on the sources that it was not chosen on."""

    set: str
    neuron: str
    accuracy: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A run: `trained` are means of its last steps, None before the first; `validated` is its last validation.

    `begun` in seconds since 1970; `state`: done, stopped, pruned, failed, running, killed or imported; `steps` as planned.
    The steps of a run on a cluster are those of each replica. `settings` are those of `train` with their parts
    (`update.rate`), constants (`let.k`), frozen layers and the `program`: the first digits of its digest. `changes`: those
    of run.json.
    """

    path: str
    network: str
    state: str
    step: int
    steps: int
    begun: float
    trained: Measured | None
    validated: Measured | None
    neurons: tuple[BestNeuron, ...]
    settings: Mapping[str, str]
    changes: Sequence[Mapping[str, Any]]

    @property
    def change_lines(self) -> list[str]:
        """A line on each setting that changed under it."""
        return [
            f"from step {change['step']:,} on {name} = {now}, was {was}"
            for change in self.changes
            for name, (was, now) in change["settings"].items()
        ]


# --- files -------------------------------------------------------------------------------------------------------------


class _Data(msgspec.Struct):
    images: int


class _Info(msgspec.Struct):
    data: _Data
    changes: list[dict[str, Any]] = []


class _Graph(msgspec.Struct):
    name: str
    training: dict[str, Any]
    frozen: list[str] = []


class _Placement(msgspec.Struct):
    tiles: list[msgspec.Raw]


class _Plan(msgspec.Struct):
    graph: _Graph
    placement: _Placement
    overrides: list[tuple[str, str]] = []


class _PlanFile(msgspec.Struct, rename={"digest": "source digest"}):
    plan: _Plan
    digest: str = ""


class _Line(msgspec.Struct):
    event: str = ""
    time: float = 0.0
    step: int = 0
    loss: Any = None
    accuracies: dict[str, Any] = {}
    replica: int | None = None
    steps: int = 0
    images: int = 0


_info, _plan = msgspec.json.Decoder(_Info).decode, msgspec.json.Decoder(_PlanFile).decode
_line = msgspec.json.Decoder(_Line).decode


def summary(directory: Path) -> Summary:
    """Return a run at a glance; raises `Unreadable`."""
    info, plan = _read(directory / "run.json", _info), _read(directory / "plan.json", _plan)
    graph, replicas = plan.plan.graph, max(1, len(plan.plan.placement.tiles))
    log = _log(directory / "events.jsonl")
    spread = next((line.replica is not None for line in log.steps), False)
    trained = _mean(log.steps, replicas if spread else 1)
    step = log.step if trained is None else trained.step
    return Summary(
        str(directory),
        graph.name,
        "imported" if not info.data.images else state_of(directory, log.last),
        step,
        int(graph.training.get("steps") or 0),
        log.begun or (directory / "run.json").stat().st_mtime,
        trained,
        log.validated,
        tuple(_neurons(directory / "probes")),
        _settings(plan) | _changed(info.changes),
        info.changes,
    )


def _read(path: Path, decode: Any) -> Any:
    try:
        return decode(path.read_bytes())
    except FileNotFoundError as error:
        raise Unreadable(f"there is no '{path.name}' in it") from error
    except OSError as error:
        raise Unreadable(f"'{path.name}' cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise Unreadable(f"'{path.name}' is damaged, or of another program: {error}") from error


def _settings(plan: _PlanFile) -> dict[str, str]:
    found = dict(_flat("", plan.plan.graph.training))
    found |= {name: text for name, text in plan.plan.overrides if name.startswith("let.")}
    if plan.plan.graph.frozen:
        found["frozen"] = ", ".join(plan.plan.graph.frozen)
    found["program"] = plan.digest[:6]
    return {name: text for name, text in found.items() if name not in HIDDEN}


def _changed(changes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what changed under a run as a setting: it differs from one that began with these settings."""
    said = [f"{', '.join(each['settings'])} at step {each['step']:,}" for each in changes]
    return {"changed": "; ".join(said)} if said else {}


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield a setting as the language writes it, and its parts by their paths."""
    if isinstance(value, dict) and set(value) == {"rows", "columns"}:
        yield name, f"{value['rows']}x{value['columns']}"
    elif isinstance(value, dict):
        for part, inner in value.items():
            yield from _flat(name if part == "kind" else f"{name}.{part}".lstrip("."), inner)
    elif isinstance(value, list):
        yield name, f"[{', '.join(text for item in value for _, text in _flat('', item))}]"
    else:
        yield name, WORDS.get(repr(value), str(value))


def _neurons(folder: Path) -> Iterator[BestNeuron]:
    """Yield the best neuron of each probe; one that cannot be read is left out."""
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            rows = msgspec.json.decode(path.read_bytes())["rows"]
            chosen = [row["above"]["honest"] for row in rows if not row["baseline"] and row.get("above")]
            best = max(chosen, key=lambda choice: choice["figures"]["accuracy"] or 0.0)
            yield BestNeuron(path.stem, best["neuron"], best["figures"]["accuracy"] or 0.0)
        except (OSError, ValueError, KeyError, TypeError, msgspec.MsgspecError):
            continue


# --- the log -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Log:
    """Of a log: when it begins, its last `steps`, newest first, the last step that any line tells of, the last event that
    ends a run or makes one go on, the last validation.
    """

    begun: float = 0.0
    steps: tuple[_Line, ...] = ()
    step: int = 0
    last: str = ""
    validated: Measured | None = None


def _log(path: Path) -> _Log:
    try:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return _Log()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _looked_through(content)
    except FileNotFoundError:
        return _Log()
    except OSError as error:
        raise Unreadable(f"'{path.name}' cannot be read: {error.strerror}") from error


def _looked_through(content: mmap.mmap) -> _Log:
    first = _decoded(content[: max(0, content.find(b"\n"))])
    steps: list[_Line] = []
    last, step = "", 0
    for begin, line in _from_the_end(content):
        if len(steps) == RECENT and (last or begin < len(content) - TAIL):
            break
        found = _decoded(line)
        if found is None:
            continue
        if found.event in (*STATES, "start", "resume"):
            last = last or found.event
        # Those of a process that was killed, which a resume did again, have higher numbers than what came after them.
        if found.event == "step" and len(steps) < RECENT and (not steps or found.step < steps[-1].step):
            steps.append(found)
        step = step or (found.step if found.event in (*STATES, "resume", "steps") else 0)
    return _Log(
        0.0 if first is None else first.time,
        tuple(steps),
        step,
        last,
        _validated(content),
    )


def _from_the_end(content: mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Yield where each line begins and the line, the last one first."""
    end = len(content)
    while end > 0:
        begin = content.rfind(b"\n", 0, end - 1) + 1
        yield begin, content[begin:end]
        end = begin


def _decoded(line: bytes) -> _Line | None:
    """Return what a line says, None for one that was cut off."""
    try:
        return _line(line)
    except msgspec.MsgspecError:
        pass  # a loss that is no number
    try:
        return _line(re.sub(rb"\b(NaN|-?Infinity)\b", b"null", line))
    except msgspec.MsgspecError:
        return None


def _validated(content: mmap.mmap) -> Measured | None:
    """Return the last validation that no resume has made void."""
    end, resumed = len(content), content.rfind(b'{"event": "resume"')
    void = None if resumed < 0 else _decoded(content[resumed : content.find(b"\n", resumed)])
    while (place := content.rfind(b'{"event": "validation"', 0, end)) >= 0:
        stop = content.find(b"\n", place)
        found = _decoded(content[place : stop if stop >= 0 else len(content)])
        if found is not None and (place > resumed or void is None or found.step <= void.step):
            return Measured(found.step, _number(found.loss), _accuracy(found))
        end = place
    return None


def _mean(steps: Sequence[_Line], replicas: int) -> Measured | None:
    if not steps:
        return None
    accuracies = [accuracy for line in steps if (accuracy := _accuracy(line)) is not None]
    return Measured(
        steps[0].step // replicas,
        fsum(_number(line.loss) for line in steps) / len(steps),
        fsum(accuracies) / len(accuracies) if accuracies else None,
    )


def _accuracy(line: _Line) -> float | None:
    tops = [_number(value) for name, value in line.accuracies.items() if name.endswith(TOP)]
    return fsum(tops) / len(tops) if tops else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def state_of(directory: Path, last: str) -> str:
    """Return how a run stands after the event that ended it or made it go on: a process that trains it holds its lock."""
    if last in STATES:
        return STATES[last]
    try:
        with open(directory / ".lock", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except OSError:
        return "running"
    return "killed"


def differences(found: Sequence[Summary]) -> list[str]:
    """Return the names of the settings in which runs of one network differ, in the order of their first run."""
    networks: dict[str, list[Mapping[str, str]]] = {}
    for each in found:
        networks.setdefault(each.network, []).append(each.settings)
    differing = {name for group in networks.values() for name in unlike(group)}
    return [
        name for name in dict.fromkeys(name for each in found for name in each.settings) if name in differing
    ]


def unlike(found: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names in which settings differ, in their order.

    A part that some do not have (`validation.path`, where `validation` is none) differs if the others differ in it.
    """
    names = dict.fromkeys(name for each in found for name in each)
    return [
        name
        for name in names
        if len({each.get(name) for each in found if name in each or name.rpartition(".")[0] not in names}) > 1
    ]


# --- folders -----------------------------------------------------------------------------------------------------------


def find_runs(folder: Path) -> Iterator[Path]:
    """Yield the runs in a folder and below, in the order of their names, and folders that were ones; raises OSError."""
    if sum((folder / name).exists() for name in INSIDE) > 1 or (folder / "run.json").exists():
        yield folder
        return
    names = [
        entry.name for entry in os.scandir(folder) if not entry.name.startswith(".") and _is_folder(entry)
    ]
    for name in sorted(names, key=natural):
        try:
            yield from find_runs(folder / name)
        except PermissionError:
            continue


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def natural(name: str) -> list[tuple[int, str]]:
    """Return the key by which names are sorted: numbers in them by their values."""
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
