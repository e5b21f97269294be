"""MLflow: metrics, parameters, tags and pictures of a run in an experiment, on a server or in a database of one's own.

A metric that is sent twice with its step and time is stored once. Metrics of one step and several times are all kept: after
a run has turned back, charts show a part twice. Parameters cannot change, so a changed setting is a tag.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.runtime.analysis.track.names import without_password
from lnet.runtime.analysis.track.tracker import Gone, Service, Setting, State, Subject, Target

AT_ONCE = 1000
"""Metrics that a server takes together."""
STATES = {"running": "RUNNING", "done": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
"""What stands for a histogram, which the service has not."""


class ExperimentRun:
    """Adds metrics to a run of an experiment."""

    def __init__(self, subject: Subject) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow
        from mlflow.entities import Metric, Param

        self._metric, self._param = Metric, Param
        self._client = mlflow.MlflowClient()
        self._metrics: list[Any] = []
        self.state: State = subject.state or {"run": self._created(subject), "messages": 0}
        self._id: str = self.state["run"]
        found = self._found()
        self._client.update_run(self._id, status="RUNNING")
        self._settings = dict(found.data.params)
        self.place = f"{_server()} experiment {found.info.experiment_id}, run {self._id}"

    def _created(self, subject: Subject) -> str:
        name = _experiment(subject.network, subject.target)
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        tags = {"lnet.id": subject.id, "mlflow.source.name": "lnet", "mlflow.source.type": "LOCAL"}
        began = round(1000 * subject.began)
        made = self._client.create_run(experiment, start_time=began, tags=tags, run_name=subject.name)
        return str(made.info.run_id)

    def _found(self) -> Any:
        """Return the run; raises `Gone` for one that was deleted."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_run(self._id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise Gone from error
            raise
        if found.info.lifecycle_stage == "deleted":
            raise Gone
        return found

    def settings(self, values: Mapping[str, Setting]) -> None:
        fresh = {name: str(value) for name, value in values.items() if name not in self._settings}
        self._client.log_batch(self._id, params=[self._param(name, text) for name, text in fresh.items()])
        self._settings |= fresh
        for name, value in values.items():
            if self._settings[name] != str(value):
                self._client.set_tag(self._id, f"changed.{name}", str(value))

    def scalars(self, step: int, time: float, values: Mapping[str, float]) -> None:
        self._metrics += [
            self._metric(name, value, round(1000 * time), step) for name, value in values.items()
        ]
        if len(self._metrics) >= AT_ONCE:
            self.flush()

    def message(self, step: int, time: float, kind: str, text: str) -> None:
        self.state["messages"] += 1
        self._client.set_tag(
            self._id, f"message.{self.state['messages']:04d}", f"step {step:,}: {kind}: {text}"
        )

    def picture(self, step: int, time: float, name: str, pixels: NDArray[np.uint8]) -> None:
        self._client.log_image(self._id, pixels, key=name, step=step, timestamp=round(1000 * time))

    def histogram(self, step: int, time: float, name: str, values: NDArray[Any]) -> None:
        found = np.quantile(values, QUANTILES)
        self.scalars(
            step, time, {f"{name}/quantile_{q}": float(v) for q, v in zip(QUANTILES, found, strict=True)}
        )

    def turn_back(self, step: int) -> None:
        pass

    def flush(self) -> bool:
        while self._metrics:
            self._client.log_batch(self._id, metrics=self._metrics[:AT_ONCE])
            del self._metrics[:AT_ONCE]
        return True

    def close(self, state: str) -> None:
        self.flush()
        if state != "running":
            self._client.set_terminated(self._id, STATES[state])


def _experiment(network: str, target: Target) -> str:
    return target.project_of(network, "MLFLOW_EXPERIMENT_NAME")


def _server() -> str:
    """Return where the service keeps runs, without a password."""
    import mlflow

    return without_password(str(mlflow.get_tracking_uri()))


def _place(run: Path, network: str, target: Target) -> str:
    return f"{_server()} {_experiment(network, target)}"


SERVICE = Service("mlflow", "MLflow", "mlflow", _place, ExperimentRun)
