"""TensorBoard: event files in a folder, which it reads while they grow. They are written without TensorFlow.

Each process that sends writes a file of its own, and says first from which step on it counts: TensorBoard forgets what
earlier files have of that step and later ones. It does so whenever the run turns back, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.runtime.analysis.contact import png
from lnet.runtime.analysis.track.tracker import Gone, Service, Setting, Subject, Target

FOLDER = "tensorboard"
BINS = 64
WRITER = "lnet run "
"""What a file says of its writer, before the run's id."""
STATES = {"done": "STATUS_SUCCESS", "failed": "STATUS_FAILURE"}
"""What the table of hyperparameters says of runs; others have the status that is unknown."""


class EventFiles:
    """Writes a run's event files into a folder."""

    def __init__(self, subject: Subject) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2, summary_pb2
        folder = _folder(subject.directory, subject.target)
        before = sorted(folder.glob("events.out.tfevents.*")) if folder.is_dir() else []
        if subject.state is not None and not before:
            raise Gone
        if before and subject.target.directory is not None and not _is_of(before[0], subject):
            raise FileExistsError(
                f"'{folder}' has files of another run: give this one a --name, or remove them"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.place, self.state = str(folder), subject.state or {}
        number = 1 + max((int(path.name.split(".")[3]) for path in before), default=0)
        self._file = RecordWriter(open(folder / f"events.out.tfevents.{number:08d}.lnet", "xb"))  # noqa: SIM115
        self._write(
            subject.began, file_version="brain.Event:2", source_metadata={"writer": WRITER + subject.id}
        )
        self._file.flush()  # it is this run's from now on, whatever ends this process
        self._began = self._time = subject.began
        self._id = subject.id
        if before:
            self.turn_back(subject.step)

    def settings(self, values: Mapping[str, Setting]) -> None:
        from tensorboard.plugins.hparams import plugin_data_pb2

        if self.state.get("settings") == values:
            return
        rows = "".join(f"| {name} | {value} |\n" for name, value in values.items())
        self._text(0, self._began, "settings", f"| setting | value |\n|---|---|\n{rows}")
        started = plugin_data_pb2.SessionStartInfo(start_time_secs=self._began, group_name=self._id)
        for name, value in values.items():
            _put(started.hparams[name], value)
        self._hyperparameters("session_start_info", started)
        self.state["settings"] = dict(values)

    def scalars(self, step: int, time: float, values: Mapping[str, float]) -> None:
        self._add(step, time, *({"tag": name, "simple_value": value} for name, value in values.items()))

    def message(self, step: int, time: float, kind: str, text: str) -> None:
        self._text(step, time, f"messages/{kind}", text)

    def picture(self, step: int, time: float, name: str, pixels: NDArray[np.uint8]) -> None:
        rows, columns, _ = pixels.shape
        image = {"height": rows, "width": columns, "colorspace": 3, "encoded_image_string": png(pixels)}
        self._add(step, time, {"tag": name, "image": image})

    def histogram(self, step: int, time: float, name: str, values: NDArray[Any]) -> None:
        counts, edges = np.histogram(values, BINS)
        histogram = {
            "min": values.min(),
            "max": values.max(),
            "num": values.size,
            "sum": values.sum(),
            "sum_squares": np.square(values).sum(),
            "bucket_limit": edges,
            "bucket": [0, *counts],
        }
        self._add(step, time, {"tag": name, "histo": histogram})

    def turn_back(self, step: int) -> None:
        session = self._event.SessionLog(status=self._event.SessionLog.START)
        self._write(self._time, step=step + 1, session_log=session)

    def flush(self) -> bool:
        self._file.flush()
        return True

    def close(self, state: str) -> None:
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        status = api_pb2.Status.Value(STATES.get(state, "STATUS_UNKNOWN"))
        ended = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=self._time)
        if state != "running":
            self._hyperparameters("session_end_info", ended)
        self._file.close()

    # --- events ------------------------------------------------------------------------------------------------------

    def _write(self, time: float, **content: Any) -> None:
        self._file.write(self._event.Event(wall_time=time, **content).SerializeToString())

    def _add(self, step: int, time: float, *values: Mapping[str, Any]) -> None:
        self._time = time
        self._write(time, step=step, summary=self._summary.Summary(value=values))

    def _text(self, step: int, time: float, name: str, text: str) -> None:
        plugin = {"plugin_name": "text"}
        shown = {"dtype": "DT_STRING", "string_val": [text.encode()], "tensor_shape": {"dim": [{"size": 1}]}}
        self._add(step, time, {"tag": name, "metadata": {"plugin_data": plugin}, "tensor": shown})

    def _hyperparameters(self, kind: str, content: Any) -> None:
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **{kind: content})
        plugin = {"plugin_name": metadata.PLUGIN_NAME, "content": data.SerializeToString()}
        tag = {
            "session_start_info": metadata.SESSION_START_INFO_TAG,
            "session_end_info": metadata.SESSION_END_INFO_TAG,
        }
        self._add(
            0,
            self._time,
            {"tag": tag[kind], "metadata": {"plugin_data": plugin}, "tensor": metadata.NULL_TENSOR},
        )


def _is_of(path: Path, subject: Subject) -> bool:
    """Whether an event file is of a run, by its first event."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    first = next(iter(RawEventFileLoader(str(path)).Load()), b"")
    return bool(Event.FromString(first).source_metadata.writer == WRITER + subject.id)


def _put(field: Any, value: Setting) -> None:
    """Set a protocol buffer's value."""
    match value:
        case bool():
            field.bool_value = value
        case int() | float():
            field.number_value = value
        case str():
            field.string_value = value


def _folder(run: Path, target: Target) -> Path:
    return run / FOLDER if target.directory is None else target.directory / target.named(run)


def _place(run: Path, network: str, target: Target) -> str:
    return FOLDER if target.directory is None else str(_folder(run, target).resolve())


SERVICE = Service("tensorboard", "TensorBoard", "tensorboard", _place, EventFiles)
