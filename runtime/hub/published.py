"""What of a run is published: all that it takes to look at it, to go on with it and to export it.

    plan.json, run.json, events.jsonl     without the command, and paths and machines' names but their last parts
    checkpoints/, best/                   the newest checkpoint, and the best parameters
    probes/*.json                         results of probes
    plugins/*.py                          the plug-ins without which the plan cannot be read
    README.md                             the card (card.py)

The program is published as it is written. Images, their list, pictures and reports stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from os.path import dirname, relpath
from pathlib import Path, PurePath
from typing import Any, cast

from lnet.compiler.cut.cluster_spec import ClusterSpec, Worker
from lnet.compiler.plan.plan import Plan
from lnet.compiler.settings import Training
from lnet.dsl.diagnostics import refused
from lnet.runtime.analysis.probe.result import CODEC, Probe, read_probes
from lnet.runtime.analysis.track.names import PLACE, without_paths
from lnet.runtime.store.checkpoint import parts
from lnet.runtime.store.checkpoints import CheckpointFolder
from lnet.runtime.store.events import (
    CheckpointWritten,
    ClusterBegun,
    Completed,
    DataFound,
    Failed,
    LogEvent,
    Resumed,
    RunInterrupted,
    SettingsChanged,
    Started,
    StepDone,
    StepsDone,
    Validated,
    Warned,
)
from lnet.runtime.store.info import RunInfo, StartInfo
from lnet.runtime.store.log import line_of
from lnet.runtime.store.run import Run

PATH = re.compile(r'(?<=")/[^"\n]+(?=")')
"""An absolute path in the language, where it stands in quotes."""
Content = bytes | Path
"""Of a file: its bytes, or where it is."""
KEPT = (
    *(Started, DataFound, ClusterBegun, StepDone, StepsDone, Validated, CheckpointWritten, Warned),
    *(SettingsChanged, Resumed, RunInterrupted, Failed, Completed),
)
"""Events that stay in a published log; those on a cluster's workers do not."""


def published(run: Run) -> dict[str, Content]:
    """Return the files of a run that are published, by name, but for its card; raises `LnetError`."""
    if run.best:
        raise refused("E740", f"'{run.path}' is a part of a run; name the run: '{run.directory}'")
    found: dict[str, Content] = {
        "plan.json": plan_of(run.plan).to_json().encode(),
        "run.json": json.dumps(info_of(run.info), indent=2).encode(),
        "events.jsonl": b"".join(line_of(event) for event in events_of(run.stream_events())),
    }
    found |= _checkpoint(run.directory, run.checkpoints) | _checkpoint(run.directory, run.best_parameters)
    if not any(name.startswith("checkpoints/") for name in found):
        raise refused("E741", f"the run '{run.directory}' has no checkpoint yet")
    for name, probe in read_probes(run).items():
        found[f"probes/{name}.json"] = json.dumps(CODEC.encode(probe_of(probe))).encode()
    for path in sorted((run.directory / "plugins").glob("*.py")):
        found[f"plugins/{path.name}"] = path
    return found


def paths_in(run: Run) -> list[str]:
    """Return the absolute paths in the program, which is published as it is written, with its comments."""
    text = "\n".join(file.text for file in run.plan.source.files)
    in_comments = PLACE.finditer(PATH.sub("", text))
    return sorted({*PATH.findall(text), *((found[1] or found[2]).rstrip(".,;:") for found in in_comments)})


# --- the plan ----------------------------------------------------------------------------------------------------------


def plan_of(plan: Plan) -> Plan:
    """Return a plan without the places of its files and the names of its machines."""
    folder = dirname(plan.source_name) or "."
    graph = replace(plan.graph, training=_training(plan.graph.training))
    return replace(
        plan,
        source_name=_last(plan.source_name),
        included=tuple((relpath(name, folder), text) for name, text in plan.included),
        overrides=tuple((name, PATH.sub(lambda path: _last(path[0]), text)) for name, text in plan.overrides),
        graph=graph,
        placement=replace(plan.placement, cluster=_cluster(plan.placement.cluster)),
    )


def _training(training: Training) -> Training:
    return replace(training, data=_data(training.data), validation=_data(training.validation))


def _data(data: Any) -> Any:
    """Return what is trained or validated on, with names in place of absolute paths."""
    if data is None:
        return None
    named = ("path", "exclude", "classes")
    texts = {name: getattr(data, name) for name in named if name in {each.name for each in fields(data)}}
    return replace(data, **{name: _relative(text) for name, text in texts.items() if isinstance(text, str)})


def _cluster(spec: ClusterSpec) -> ClusterSpec:
    """Return the description of a cluster with numbers in place of names."""
    hosts = {
        host: f"host-{number}" for number, host in enumerate(dict.fromkeys(w.host for w in spec.workers))
    }
    workers = tuple(
        Worker(f"worker-{number}", hosts[worker.host], worker.memory)
        for number, worker in enumerate(spec.workers)
    )
    pairs = tuple((hosts[a], hosts[b], link) for a, b, link in spec.pairs if a in hosts and b in hosts)
    return replace(spec, workers=workers, pairs=pairs)


# --- what is beside it -------------------------------------------------------------------------------------------------


def info_of(info: RunInfo) -> RunInfo:
    """Return what run.json says, without the command and places; an index of the images stays where it is."""
    found: RunInfo = {**info, "data": {**info["data"], "base": ".", "index": None}}
    found.pop("command", None)
    found["start"] = cast("StartInfo | None", _begun(info.get("start")))
    return found


def events_of(events: Iterable[LogEvent]) -> Iterator[LogEvent]:
    """Yield the events of a log that are published, without places and names of machines."""
    for event in events:
        match event:
            case Started():
                data = {**event.data, "base": ".", "index": None}
                yield replace(event, data=data, start=_begun(event.start), command=None)
            case DataFound():
                yield replace(
                    event, message=without_paths(event.message), path=_last(event.path or "") or None
                )
            case ClusterBegun():
                yield replace(event, scheduler="")
            case Warned():
                yield replace(event, message=without_paths(event.message), worker=None)
            case Failed():
                yield Failed(event.step, without_paths(event.message), code=event.code, time=event.time)
            case _ if isinstance(event, KEPT):
                yield event


def _begun(start: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what a run began with, by its name."""
    if start is None:
        return None
    return {name: _last(value) if name in ("run", "file") else value for name, value in start.items()}


def probe_of(probe: Probe) -> Probe:
    """Return the result of a probe with the names of the run and the images in place of their paths."""
    return replace(probe, run=_last(probe.run), images=_last(probe.images))


def _checkpoint(directory: Path, folder: CheckpointFolder) -> dict[str, Content]:
    """Return the files of the newest whole checkpoint in a folder; raises `LnetError`."""
    path = folder.newest_path()
    if path is None:
        return {}
    return {str(file.relative_to(directory)): file for file in sorted(parts(path)) if file.is_file()}


def _relative(path: str) -> str:
    return _last(path) if PurePath(path).is_absolute() else path


def _last(path: str) -> str:
    return PurePath(path).name
