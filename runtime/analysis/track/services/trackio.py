"""trackio: a database of each project on this machine, which `trackio show` serves and `trackio sync` sends to a Space.

Rows are written into it as trackio's own import of other logs does it, with the run's times and a number each: a row that
is written twice is stored once. After a run has turned back, charts show a part twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.runtime.analysis.track.tracker import Gone, Service, Setting, State, Subject, Target

AT_ONCE = 1000
"""Rows that are written together."""
LEVELS = {"warning": "warn", "failed": "error"}
"""How serious messages are; others inform."""
BINS = 64
VARIABLE = "TRACKIO_PROJECT"
"""Names the project."""


class Database:
    """Adds rows to a run in a project's database."""

    def __init__(self, subject: Subject) -> None:
        import trackio
        from trackio.sqlite_storage import SQLiteStorage
        from trackio.utils import TRACKIO_DIR

        self._trackio, self._storage = trackio, SQLiteStorage
        project, self._id = subject.target.project_of(subject.network, VARIABLE), subject.id
        self._run = {"project": project, "run": subject.name, "run_id": subject.id}
        known = {record["id"] for record in SQLiteStorage.get_run_records(project)}
        if subject.state is not None and subject.state["rows"] and subject.id not in known:
            raise Gone
        self.state: State = subject.state or {"rows": 0}
        self.place = f"{TRACKIO_DIR}: trackio show --project {project}"
        self._rows: list[tuple[int, str, str, dict[str, Any]]] = []
        self._settings: dict[str, Setting] = {}

    def settings(self, values: Mapping[str, Setting]) -> None:
        self._settings = dict(values)

    def scalars(self, step: int, time: float, values: Mapping[str, float]) -> None:
        self._row(step, time, values)

    def message(self, step: int, time: float, kind: str, text: str) -> None:
        at, number = _at(time), self._next()
        self._storage.bulk_alert(
            **self._run,
            titles=[kind],
            texts=[text],
            levels=[LEVELS.get(kind, "info")],
            steps=[step],
            timestamps=[at],
            alert_ids=[number],
        )

    def picture(self, step: int, time: float, name: str, pixels: NDArray[np.uint8]) -> None:
        image = self._trackio.Image(pixels)
        image._save(self._run["project"], self._run["run"], step)
        self._row(step, time, {name: image._to_dict()})

    def histogram(self, step: int, time: float, name: str, values: NDArray[Any]) -> None:
        found = self._trackio.Histogram(np_histogram=np.histogram(values, BINS))
        self._row(step, time, {name: found._to_dict()})

    def turn_back(self, step: int) -> None:
        pass

    def flush(self) -> bool:
        if self._rows:
            self._write()
        return True

    def _write(self) -> None:
        steps, times, numbers, metrics = (list(column) for column in zip(*self._rows, strict=True))
        self._storage.bulk_log(
            **self._run,
            metrics_list=metrics,
            steps=steps,
            timestamps=times,
            log_ids=numbers,
            config=self._settings,
        )
        self._rows.clear()

    def close(self, state: str) -> None:
        self.flush()

    def _row(self, step: int, time: float, values: Mapping[str, Any]) -> None:
        self._rows.append((step, _at(time), self._next(), dict(values)))
        if len(self._rows) >= AT_ONCE:
            self.flush()

    def _next(self) -> str:
        """Return the number of the next row or message."""
        self.state["rows"] += 1
        return f"{self._id}-{self.state['rows']}"


def _at(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()


def _place(run: Path, network: str, target: Target) -> str:
    return target.project_of(network, VARIABLE)


SERVICE = Service("trackio", "trackio", "trackio", _place, Database)
