"""Weights & Biases: rows of a history. Offline (`WANDB_MODE=offline`) each process that sends writes a folder, and `wandb
sync` uploads them in their order.

Its own steps count rows and may not go back, so they are kept from one process to the next. There is no asking which rows
have arrived before a process ends; those that are sent twice are ignored. The run's steps are a figure, `step`, which all
charts have as their axis: after a run has turned back, they show a part twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.runtime.analysis.track.tracker import Service, Setting, State, Subject, Target

AXIS = "step"
EXIT = {"failed": 1, "stopped": 255}
"""The exit status of runs that did not end well: the service calls them failed, and killed."""
BINS = 64
VARIABLE = "WANDB_PROJECT"
"""Names the project."""


class History:
    """Adds rows to a run's history. Of this machine, its code and what it prints, nothing is sent."""

    def __init__(self, subject: Subject) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._wandb = wandb
        self.state: State = subject.state or {"rows": 0}
        self._run: Any = wandb.init(
            project=subject.target.project_of(subject.network, VARIABLE),
            id=subject.id,
            name=subject.name,
            resume="allow",
            dir=os.path.abspath(os.environ.get("WANDB_DIR", ".")),
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                host="",
                save_code=False,
                silent=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        self._run.define_metric(AXIS, hidden=True)
        self._run.define_metric("*", step_metric=AXIS)
        folder = str(Path(self._run.dir).parent)
        self.place = f"{folder}: wandb sync {folder}" if self._run.offline else str(self._run.url)

    def settings(self, values: Mapping[str, Setting]) -> None:
        self._run.config.update(dict(values), allow_val_change=True)

    def scalars(self, step: int, time: float, values: Mapping[str, float]) -> None:
        self._row(step, time, values)

    def message(self, step: int, time: float, kind: str, text: str) -> None:
        self._row(step, time, {f"messages/{kind}": text})

    def picture(self, step: int, time: float, name: str, pixels: NDArray[np.uint8]) -> None:
        self._row(step, time, {name: self._wandb.Image(pixels)})

    def histogram(self, step: int, time: float, name: str, values: NDArray[Any]) -> None:
        self._row(step, time, {name: self._wandb.Histogram(np_histogram=np.histogram(values, BINS))})

    def turn_back(self, step: int) -> None:
        pass

    def flush(self) -> bool:
        return bool(self._run.offline)

    def close(self, state: str) -> None:
        self._run.finish(exit_code=EXIT.get(state, 0))

    def _row(self, step: int, time: float, values: Mapping[str, Any]) -> None:
        self._run.log({AXIS: step, "_timestamp": time, **values}, step=self.state["rows"])
        self.state["rows"] += 1


def _place(run: Path, network: str, target: Target) -> str:
    return target.project_of(network, VARIABLE)


SERVICE = Service("wandb", "Weights & Biases", "wandb", _place, History)
