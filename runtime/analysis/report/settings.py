"""A run's settings, as written in the language, and its origin."""

from __future__ import annotations

from collections.abc import Sequence

from lnet.compiler.settings import DatasetFigures
from lnet.compiler.words import TRAIN
from lnet.compiler.written import written
from lnet.runtime.store.info import origin_of
from lnet.runtime.store.run import Run

SHOWN = 8
"""Maps whose mean and deviation are shown."""


def settings(run: Run) -> list[tuple[str, str]]:
    """Return every setting of `train` as written, and the command's additions."""
    training, info = run.plan.graph.training, run.info
    rows = [(row.name, written(getattr(training, row.name))) for row in TRAIN.given]
    rows += [(f"--set {name}", value) for name, value in run.plan.overrides]
    rows.append(("images", f"{info['data']['images']:,}"))
    how = run.plan.graph.data.normalize
    if isinstance(how, DatasetFigures):
        rows += [("mean of each map", _numbers(how.mean)), ("deviation of each map", _numbers(how.deviation))]
    for change in info.get("changes", ()):
        said = (f"{name} = {now}, was {was}" for name, (was, now) in change["settings"].items())
        rows.append((f"changed at step {change['step']:,}", "; ".join(said)))
    if start := info.get("start"):
        step = f"step {start['step']:,} of " if "step" in start else ""
        rows.append(("begins with", f"{step}{origin_of(start)}"))
    if run.plan.graph.frozen:
        rows.append(("frozen", ", ".join(run.plan.graph.frozen)))
    return rows


def _numbers(numbers: Sequence[float]) -> str:
    rest = ["..."] if len(numbers) > SHOWN else []
    return ", ".join([*(f"{number:.4g}" for number in numbers[:SHOWN]), *rest])


def origin(run: Run) -> list[tuple[str, str]]:
    """Return the run's command, versions, machine and plan."""
    info, machine = run.info, run.info["machine"]
    rows = [("command", info["command"])] if "command" in info else []
    rows += [(f"version of {name}", version) for name, version in info["versions"].items()]
    rows.append(
        ("machine", f"{machine['system']}, {machine['cores']} cores, {machine['memory'] / 2**30:,.0f} GiB")
    )
    return [*rows, ("plan", run.plan.digest)]
