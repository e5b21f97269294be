"""What services have of a run, as their own packages read it."""

import json
import os
import re
import struct
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from lnet.runtime.store.events import Warned

DATABASE = tempfile.mkdtemp(prefix="lnet-mlflow-")
"""The folder of one database for all tests, each of which has an experiment: to make its tables takes seconds."""


def set_offline(monkeypatch, folder):
    """Let no service need a network, and all keep their files in a folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{DATABASE}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", folder.name)
    monkeypatch.setenv("TRACKIO_DIR", str(folder / "trackio"))
    if "trackio" in sys.modules:
        monkeypatch.setattr("trackio.utils.TRACKIO_DIR", folder / "trackio")
        monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", folder / "trackio")


@dataclass
class Sent:
    """Points of figures by name, settings, messages; steps with pictures; parameters with histograms; how many runs."""

    scalars: dict = field(default_factory=lambda: defaultdict(list))
    settings: dict = field(default_factory=dict)
    messages: list = field(default_factory=list)
    pictures: list = field(default_factory=list)
    parameters: set = field(default_factory=set)
    runs: int = 1


def warned(message):
    return Warned(message, time=2e9)


def tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    read = EventAccumulator(
        str(run / "tensorboard"), dict.fromkeys(("scalars", "images", "histograms", "tensors"), 0)
    )
    read.Reload()
    found = Sent()
    tags = read.Tags()
    for name in tags["scalars"]:
        found.scalars[name] = [(point.step, point.value) for point in read.Scalars(name)]
    for name in tags["tensors"]:
        if name.startswith("messages/"):
            found.messages += [(p.step, p.tensor_proto.string_val[0].decode()) for p in read.Tensors(name)]
    found.messages = [text for _, text in sorted(found.messages)]
    pictures = [name for name in tags["images"] if name.startswith("filters/")]
    found.pictures = sorted({point.step for name in pictures for point in read.Images(name)})
    found.parameters = {name for name in tags["histograms"] if name.startswith("parameters/")}
    content = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    for name, value in HParamsPluginData.FromString(content).session_start_info.hparams.items():
        found.settings[name] = getattr(value, value.WhichOneof("kind"))
    return found


def wandb(run):
    found, rows = Sent(), {}
    for record in (
        record for path in sorted(Path("wandb").glob("offline-run-*/*.wandb")) for record in _records(path)
    ):
        match record.WhichOneof("record_type"):
            case "config":
                found.settings |= {each.key: json.loads(each.value_json) for each in record.config.update}
            case "history":
                items = {each.nested_key[0]: json.loads(each.value_json) for each in record.history.item}
                rows.setdefault(items["_step"], items)  # the service ignores a step that it has
    for row in rows.values():
        _take(found, row.pop("step"), row)
    found.runs = len({path.name for path in Path("wandb").glob("offline-run-*/*.wandb")})
    return found


def _records(path):
    """Yield the records of a file: blocks of 32 KiB, in which each part has a checksum, its length and a kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, part = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(part)
            part = b""


def mlflow(run):
    from mlflow import MlflowClient

    client, found, runs = MlflowClient(), Sent(), _runs()
    found.runs, data, name = len(runs), runs[0].data, runs[0].info.run_id
    found.settings = data.params
    found.messages = [value for key, value in sorted(data.tags.items()) if key.startswith("message.")]
    for key in data.metrics:
        if key.startswith("parameters/"):
            found.parameters.add(key.rpartition("/")[0])
        else:
            found.scalars[key] = [(point.step, point.value) for point in client.get_metric_history(name, key)]
    pictures = [
        Path(each.path).name for each in client.list_artifacts(name, "images") if "filters" in each.path
    ]
    found.pictures = sorted({int(re.search(r"step\W(\d+)", picture)[1]) for picture in pictures})
    return found


def _runs():
    from mlflow import MlflowClient

    found = MlflowClient().get_experiment_by_name(os.environ["MLFLOW_EXPERIMENT_NAME"])
    return MlflowClient().search_runs([found.experiment_id])


def trackio(run):
    from trackio.sqlite_storage import SQLiteStorage

    found, runs = Sent(), SQLiteStorage.get_run_records("small")
    for record in SQLiteStorage.get_logs("small", run_id=runs[0]["id"]):
        _take(found, record.pop("step"), record)
    found.settings = SQLiteStorage.get_run_config("small", run_id=runs[0]["id"])
    alerts = SQLiteStorage.get_alerts("small", run_id=runs[0]["id"])
    found.messages = [alert["text"] for alert in sorted(alerts, key=lambda alert: alert["timestamp"])]
    found.runs = len(runs)
    return found


def names(service):
    """The names that runs have in a service; TensorBoard's, by its folder `tensorboard`."""
    match service:
        case "tensorboard":
            return {str(path.parent.relative_to(service)) for path in Path(service).rglob("events.*")}
        case "wandb":
            records = (each for path in Path("wandb").glob("*/*.wandb") for each in _records(path))
            return {each.run.display_name for each in records if each.WhichOneof("record_type") == "run"}
        case "mlflow":
            return {run.info.run_name for run in _runs()}
        case "trackio":
            from trackio.sqlite_storage import SQLiteStorage

            return {record["name"] for record in SQLiteStorage.get_run_records("small")}


def _take(found, step, row):
    """Take a row of a service that has rows of all kinds of values."""
    for name, value in row.items():
        if name.startswith("filters/"):
            found.pictures = sorted({*found.pictures, step})
        elif name.startswith("parameters/"):
            found.parameters.add(name)
        elif name.startswith("messages/"):
            found.messages.append(value)
        elif isinstance(value, float | int):
            found.scalars[name].append((step, value))


READERS = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow, "trackio": trackio}
FILES = {"tensorboard": "first/tensorboard/*", "wandb": "wandb/offline-run-*/*.wandb", "trackio": "trackio/*"}
"""The files that services send, or show to others."""


def content(service):
    """All that a service has."""
    if service != "mlflow":
        return b"".join(path.read_bytes() for path in Path().glob(FILES[service]) if path.is_file())
    (run,) = _runs()
    return f"{run.data} {run.info.user_id} {run.info.run_name}".encode()
