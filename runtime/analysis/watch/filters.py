"""The filters of a run's newest checkpoint, drawn again when there is a newer one.

Only the first local layer's weights are read. What reads checkpoints loads jax, so it is imported with the first one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lnet.dsl.diagnostics import LnetError


class DrawnFilters:
    """Draws the filters of a run whenever it has other checkpoints than before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listed: tuple[str, ...] = ()

    def redrawn(self) -> dict[str, Any] | None:
        """Return the pictures of new filters, None while there are none; of those that cannot be read, why."""
        try:
            listed = tuple(sorted(n for n in os.listdir(self._path / "checkpoints") if n.startswith("step-")))
        except OSError:  # there is none yet; of a folder that cannot be read, the log's reader says so
            return None
        if listed == self._listed or not listed:
            return None
        self._listed = listed
        try:
            return _drawn(self._path)
        except LnetError as error:
            told = (text for each in error.diagnostics for text in (each.message, *each.notes))
            return {"missing": "; ".join(told)}


def _drawn(path: Path) -> dict[str, Any] | None:
    from lnet.runtime.analysis.report.filters import first_filters, first_weight
    from lnet.runtime.store.run import open_run

    run = open_run(path)
    graph = run.plan.graph
    weight = first_weight(graph)
    if weight is None:
        return {"missing": "The network has no local layer."}
    found = run.checkpoints.newest_of([weight])
    shown = None if found is None else first_filters(graph, found.params)
    return None if found is None or shown is None else {"step": found.step, **shown}
