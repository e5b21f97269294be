"""The runs of a trial, one for each seed: begun, or gone on with where a killed process left them.

seed-0      may be pruned, after each tenth of its steps by what it has reached
seed-1 ...  are trained to their ends, for a point whose first run was not pruned
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, isfinite
from pathlib import Path

import jax

from lnet.compiler.pipeline import compile_source
from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import Collector, Diverged, InputError, LnetError
from lnet.runtime.store.events import Completed, Event, RunPruned
from lnet.runtime.store.log import read_events
from lnet.runtime.store.run import is_run
from lnet.runtime.store.summary import RECENT
from lnet.runtime.train import resume, train
from lnet.runtime.training.progress import Pruned, Reporter

from .spec import SweepSpec
from .study import TENTHS, Taken
from .trials import Trial

TOO_LARGE = "E753"
LOG = "events.jsonl"
ENDS = (Completed, RunPruned)
"""Events after which a run does not go on."""


def plan_at(spec: SweepSpec, settings: Mapping[str, str], seed: int) -> tuple[Plan, Collector]:
    """Return the plan of a run, and the collector of its warnings; raises `LnetError`.

    A run keeps one checkpoint, unless a setting of the sweep says otherwise: many runs have one each.
    """
    source = spec.source
    collector = Collector(source)
    overrides = {"train.keep": "1", **settings, "train.seed": str(seed)}
    return compile_source(source, overrides, collector, freeze=spec.freeze), collector


def train_trial(taken: Taken, runs: Callable[[Path], Reporter]) -> Trial:
    """Train the runs of a trial, with a reporter for each, and return how it ended.

    A point that the compiler refuses, that diverges, or that needs too much memory has failed. Raises `LnetError` for what
    no other point would change, and `Interrupted`.
    """
    spec, values = taken.study.spec, list[float]()
    measure = spec.measure
    for seed in range(spec.seed, spec.seed + spec.seeds):
        run = taken.folder / f"seed-{seed}"
        watched = _Watched(runs(run), taken, run, may_prune=spec.prune and not values)
        try:
            _train(taken, seed, run, watched)
        except Pruned as why:
            return taken.pruned([value for value in [measure.of(run)] if value is not None], str(why))
        except (Diverged, InputError) as error:
            return taken.failed(_reason(error))
        except LnetError as error:
            if error.diagnostics[0].code != TOO_LARGE:
                raise
            return taken.failed(_reason(error))
        finally:
            jax.clear_caches()  # type: ignore[no-untyped-call]
        value = measure.of(run)
        if value is None or not isfinite(value):
            return taken.failed(f"the {measure.text} is {value}")
        values.append(value)
    return taken.done(values)


def _reason(error: LnetError) -> str:
    first = error.diagnostics[0]
    return f"{first.code}: {first.message}"


def _train(taken: Taken, seed: int, run: Path, reporter: Reporter) -> None:
    """Train a run to its end, or go on with it; raises `Pruned` again for one that was."""
    spec = taken.study.spec
    if not is_run(run):
        plan, _ = plan_at(spec, taken.settings, seed)
        train(
            plan,
            spec.data,
            directory=run,
            reporter=reporter,
            start=spec.start,
            freeze=spec.freeze,
            validation=spec.validation,
        )
        return
    last = next(
        (event for event in reversed(read_events(run / LOG, steps=False)) if isinstance(event, ENDS)), None
    )
    if isinstance(last, RunPruned):
        raise Pruned(last.message)
    if not isinstance(last, Completed):
        resume(run, reporter=reporter)


class _Watched:
    """Passes a run's progress on, and ends a run that the pruner gives up."""

    def __init__(self, reporter: Reporter, taken: Taken, run: Path, may_prune: bool) -> None:
        self._reporter, self._taken, self._run, self._may_prune = reporter, taken, run, may_prune
        self._steps, self._tenth = 1, 0

    def started(self, step: int, steps: int) -> None:
        self._steps, self._tenth = steps, TENTHS * step // steps
        self._reporter.started(step, steps)

    def stepped(self, step: int, objectives: Mapping[str, float], images_per_second: float) -> None:
        self._reporter.stepped(step, objectives, images_per_second)
        tenth = TENTHS * step // self._steps
        if self._may_prune and self._tenth < tenth < TENTHS:
            self._tenth = tenth
            self._look(tenth)

    def _look(self, tenth: int) -> None:
        measure = self._taken.study.spec.measure
        value = measure.of(self._run, steps=min(RECENT, ceil(self._steps / TENTHS)))
        if value is not None and isfinite(value) and self._taken.hopeless(tenth, value):
            raise Pruned(
                f"{measure.name} {measure.shown(value)} after {tenth}0 % of the steps is worse than the median"
            )

    def said(self, message: str) -> None:
        self._reporter.said(message)

    def happened(self, event: Event) -> None:
        self._reporter.happened(event)

    def finished(self) -> None:
        self._reporter.finished()
