"""A run made from a file of weights, which has trained nothing: it can be probed, drawn, reported and exported."""

from __future__ import annotations

import os
from pathlib import Path

from lnet.compiler.plan.plan import Plan
from lnet.runtime.data.listing import NEWEST
from lnet.runtime.engine.updates import named_state, update_rule
from lnet.runtime.process.precision import computing_in
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import Run, create_run, next_directory

from .progress import Reporter, Silent
from .start import figures_of, normalized_by, start_from_file


def import_weights(
    weights: str | os.PathLike[str],
    plan: Plan,
    directory: str | os.PathLike[str] | None = None,
    mapping: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Make a run of a plan from a file of weights, without training, and return it (docs/weights.md).

    `weights`: a file of lnet's export, Keras or PyTorch; `mapping`: a file that corrects which array is which parameter;
    `directory`: the run's directory (default `runs/NAME-1`, `-2`, ...). Raises `LnetError` for a file that cannot be read or
    fits nothing, and for a directory in use.
    """
    reporter = Silent() if reporter is None else reporter
    with computing_in(plan.graph.training.dtype):
        begin = start_from_file(Path(weights), plan, mapping)
        state = update_rule(plan.graph).init(begin.params)
    plan = normalized_by(plan, figures_of(Path(weights), plan.graph))
    run = create_run(
        Path(directory) if directory is not None else next_directory(plan.graph.name),
        plan,
        {
            "base": str(Path(plan.source_name).resolve().parent),
            "listing": NEWEST,
            "in_memory": False,
            "classes": None,
            "images": 0,
        },
        {},
        Checkpoint(0, begin.params, named_state(state)),
        start=begin.source,
    )
    for note in begin.notes:
        reporter.said(note)
    return run
