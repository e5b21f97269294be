"""Settings of `train` that change in a run that goes on: its plan has them from then on, run.json and the log say so.

    the run's file, compiled with its settings  ---\
                                                    +--> what differs: nothing but settings --> plan, run.json
    the same, with the new ones beside it       ---/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lnet.compiler.files import write_aside
from lnet.compiler.settings import Training
from lnet.compiler.words import TRAIN
from lnet.compiler.written import written
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.engine.updates import missing_state, update_rule
from lnet.runtime.store.events import SettingsChanged
from lnet.runtime.store.info import RunInfo, SettingsChange
from lnet.runtime.store.run import Run

from .validation import planned

_REPLICAS = "how replicas work together is settled when a run begins"
KEPT = {
    "data": "'--data' says where its images are now, and '--other-images' accepts others",
    "validation": "'--validation' says where the images that it is validated on are now",
    **dict.fromkeys(("replicas", "fetch", "push", "staleness", "warmup"), _REPLICAS),
}
"""Settings that a run keeps, and what there is to say of each."""


@dataclass(frozen=True)
class Changed:
    """A run with other settings, and the record of them, None if none differs; kept once the run really goes on."""

    run: Run
    record: SettingsChange | None = None

    @property
    def events(self) -> tuple[SettingsChanged, ...]:
        """What the log says of it."""
        return () if self.record is None else (SettingsChanged(**self.record),)

    def keep(self, run: Run) -> Run:
        """Write the plan and run.json of the run if anything has changed, and return it. Raises `LnetError`."""
        if self.record is None:
            return run
        info: RunInfo = {**run.info, "changes": (*run.info.get("changes", ()), self.record)}
        run.plan.save(run.directory / "plan.json")
        try:
            write_aside(run.directory / "run.json", json.dumps(info, indent=2))
        except OSError as error:
            raise refused("E744", f"'{run.directory}' cannot be written", str(error)) from error
        return replace(run, info=info)


def changed(run: Run, set: Mapping[str, object], steps: int | None, replicas: int) -> Changed:
    """Return a run that goes on with settings given beside its file, and up to so many steps; writes nothing.

    Raises `LnetError` for what a run keeps: its network, its data, its rule's state, the steps that it has taken.
    """
    plan, before = run.plan, run.plan.graph.training
    wanted: dict[str, Any] = {}
    overrides = plan.overrides
    if set:
        from lnet.compiler.reconfigure import reconfigured  # the parser, which a run does without

        wanted, overrides = reconfigured(plan, set)
    if steps is not None:
        wanted |= {"steps": whole_steps(steps), "epochs": None}
    if wanted.get("epochs") is not None:
        wanted["steps"] = 0
    taken = max(run.checkpoints.files(), default=0)
    after = replace(before, **wanted)
    after = replace(after, ahead=before.seen(taken * replicas) - after.images * taken * replicas)
    after = after.lasting(run.info["data"]["images"], replicas)
    found = {row.name: _both(before, after, row.name) for row in TRAIN.given}
    settings = {name: (was, now) for name, (was, now) in found.items() if was != now}
    if not settings:
        return Changed(run)
    _check(run, after, settings.keys(), taken)
    plan = replace(plan, overrides=overrides, graph=replace(plan.graph, training=after)).dealt_anew()
    planned(plan, None, None)  # 'keep_best' without a validation
    record: SettingsChange = {"step": taken, "settings": settings}
    return Changed(replace(run, plan=plan), record)


def whole_steps(steps: int) -> int:
    """Return a number of steps; raises `LnetError` unless it is a positive integer."""
    if steps < 1 or steps != int(steps):
        raise refused("E746", f"the number of steps must be a positive integer, found {steps}")
    return int(steps)


def _both(before: Training, after: Training, name: str) -> tuple[str, str]:
    return written(getattr(before, name)), written(getattr(after, name))


def _check(run: Run, after: Training, names: Any, taken: int) -> None:
    """Raise `LnetError` for settings that a run keeps."""
    graph = run.plan.graph
    before = graph.training
    for name in names:
        if name in KEPT:
            raise _kept(f"'train.{name}' stays as it is", KEPT[name])
    if after.steps < taken:
        raise refused(
            "E746",
            f"the run '{run.directory}' has taken {taken:,} steps already, so it cannot end at {after.steps:,}",
            hint=f"name more than {taken:,} steps, or none to go on to step {before.steps:,}",
        )
    if after.dtype != before.dtype:
        raise _kept("'train.precision' stays as it is", f"its parameters are {before.dtype}")
    if after.update.kind != before.update.kind:
        raise _kept(
            f"'train.update' stays {before.update.kind}",
            f"the checkpoints have the state of {before.update.kind}, not of {after.update.kind}",
        )
    missing = missing_state(update_rule(replace(graph, training=after)), update_rule(graph), graph)
    if missing:
        raise _kept(
            f"'train.{'update' if after.precision == before.precision else 'precision'}' needs what no checkpoint has",
            f"arrays of the optimiser's state that are missing: {', '.join(missing[:4])}",
        )


def _kept(message: str, *notes: str) -> LnetError:
    return refused(
        "E754",
        message,
        *notes,
        hint="begin a run with the parameters of this one: lnetc run --from RUN --set ...",
    )
