"""Pictures and histograms of the parameters of a checkpoint, one array after the other, as they lie in its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lnet.compiler.files import plain, unreadable
from lnet.runtime.analysis.report.filters import filter_pictures, first_weight
from lnet.runtime.store.checkpoint import Checkpoint, certainly
from lnet.runtime.store.run import Run
from lnet.runtime.store.safetensors import Damaged

from .tracker import Tracker


class CheckpointParameters:
    """Sends the parameters of a run's checkpoints; of those that are gone or damaged, nothing."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def send(self, tracker: Tracker, step: int, time: float, file: str) -> None:
        """Send pictures of the first filters, and the histogram of each parameter; raises `LnetError` as a run does."""
        graph = self._run.plan.graph
        path = self._run.checkpoints.path / Path(file).name
        filters = first_weight(graph)
        for parameter in graph.parameters:
            found = self._read(path, parameter.name)
            if found is None:
                return
            value = np.asarray(found.params[parameter.name])
            if parameter.name == filters:
                for name, pixels in filter_pictures(graph, value).items():
                    tracker.picture(step, time, f"filters/{plain(name)}", pixels)
            finite = value[np.isfinite(value)]
            if finite.size:
                tracker.histogram(
                    step, time, f"parameters/{plain(parameter.name)}", finite.astype(np.float64)
                )

    def _read(self, path: Path, name: str) -> Checkpoint | None:
        try:
            return certainly(lambda at: self._run.checkpoints.read_of(at, [name]), path)
        except (Damaged, FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(path, error) from error
