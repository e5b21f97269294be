"""Runs of an experiment that may be stopped at any moment: what is there is not made again."""

from __future__ import annotations

from pathlib import Path

import lnet
from lnet.runtime.training.progress import Reporter


def found(directory: Path, reporter: Reporter) -> lnet.Run | None:
    """Return the run of a directory, gone on with to its end if it was stopped; None if there is none."""
    if not (directory / "run.json").exists():
        return None
    run = lnet.open_run(directory)
    if not any(event.name == "done" for event in run.events()[-1:]):
        lnet.resume(directory, reporter=reporter)
    return run
