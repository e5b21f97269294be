"""What is checked of a sweep before anything of it is trained or written: the values of its space, its measure, its data."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lnet.compiler.graph.graph import Graph
from lnet.compiler.plan.plan import Plan
from lnet.compiler.plugins.identity import Plugin
from lnet.compiler.space import Choice, Pick, Point, Space, Value, Variable
from lnet.dsl.diagnostics import Diagnostic, LnetError, refused
from lnet.runtime.data.indexes import IN_RUN
from lnet.runtime.process.precision import computing_in
from lnet.runtime.training.beginning import begin
from lnet.runtime.training.start import check_learns, frozen
from lnet.runtime.training.validation import planned

from .measure import LOSS, Measure, measure_of
from .spec import SweepSpec
from .study import optuna
from .trial_runs import plan_at

TRIES = 16
"""Points of chance at which a value is tried that the first values of the other variables do not go with."""
SEED = "train.seed"
Compiled = tuple[Plan, tuple[Diagnostic, ...]]
"""A plan, and the compiler's warnings of it."""


@dataclass(frozen=True)
class Checked:
    """A sweep that can be trained, the `plan` of one of its runs, and the compiler's warnings of it."""

    spec: SweepSpec
    plan: Plan
    warnings: tuple[Diagnostic, ...]


def check(spec: SweepSpec) -> Checked:
    """Compile the program with each alternative and both ends of each range, and open its data; raises `LnetError`.

    A value is refused if it goes with no values of the others that were tried.
    """
    optuna()
    if SEED in spec.settings:
        raise refused(
            "E790",
            f"'{SEED}' is no setting of a sweep",
            hint="'--seed' is the seed of the first run of each trial, and '--seeds' counts its runs",
        )
    space = spec.space
    base, *others = space.whole.corners()
    found = [_compiled(spec, space, base, {}), *(_compiled(spec, space, each, base) for each in others)]
    plan, warnings = found[0]
    plans = [each for each, _ in found]
    check_learns(frozen(plan, spec.freeze))
    measure = measure_of(plan.graph, spec.objective)
    readers = _check_data(spec, plans)
    notes = tuple(_notes([each.graph for each in plans], measure))
    plugins = tuple(dict.fromkeys([*(plugin for each in plans for plugin in each.plugins), *readers]))
    return Checked(replace(spec, validated=measure.validated, notes=notes, plugins=plugins), plan, warnings)


def _compiled(spec: SweepSpec, space: Space, point: Point, base: Point) -> Compiled:
    """Return the plan at a point, or at another one that has the values in which it differs from `base`.

    Without a base, each of its values must go with some values of the others. Raises `LnetError`.
    """
    try:
        return _plan(spec, space.at_point(point))
    except LnetError as error:
        changed = {name: value for name, value in point.items() if base.get(name) != value}
        every = [changed] if base else [_with_its_choices(space, name, point) for name in point]
        found = [_elsewhere(spec, space, own, error) for own in every]
        return found[0]


def _with_its_choices(space: Space, name: str, point: Point) -> Point:
    """Return a value of a point with the alternatives in which its variable stands."""
    choices = (each for each in space.whole.variables if isinstance(each, Choice) and each.name in point)
    around = (
        each.name for each in choices if name in (v.name for v in each.option(point[each.name]).variables)
    )
    return {each: point[each] for each in (*around, name)}


def _elsewhere(spec: SweepSpec, space: Space, own: Point, error: LnetError) -> Compiled:
    """Return the plan at a point of chance that has some values of its own; raises the error if there is none."""
    for number in range(TRIES):
        with suppress(LnetError):
            return _plan(spec, space.at(_drawn(own, random.Random(number))))
    raise error


def _plan(spec: SweepSpec, settings: Mapping[str, str]) -> Compiled:
    plan, collector = plan_at(spec, settings, spec.seed)
    return planned(plan, spec.validation, None), collector.warnings


def _drawn(own: Point, chance: random.Random) -> Pick:
    """Return a point of chance, apart from some values of its own."""

    def pick(variable: Variable) -> Value:
        if variable.name in own:
            return own[variable.name]
        if isinstance(variable, Choice):
            return chance.choice(variable.labels)
        if variable.whole:
            return chance.randint(int(variable.low), int(variable.high))
        return chance.uniform(variable.low, variable.high)

    return pick


def _check_data(spec: SweepSpec, plans: Sequence[Plan]) -> list[Plugin]:
    """Open what each plan is trained and validated on, as its run would, each once; return the plug-ins that read it."""
    readers: list[Plugin] = []
    by_data = {(plan.graph.training.data, plan.graph.training.validation): plan for plan in reversed(plans)}
    for plan in by_data.values():
        with TemporaryDirectory() as folder, computing_in(plan.graph.training.dtype):
            begun = begin(
                plan,
                spec.data,
                None,
                Path(folder) / IN_RUN,
                cluster=False,
                start=spec.start,
                freeze=spec.freeze,
                validation=spec.validation,
            )
        readers += [*begun.samples.plugins, *(() if begun.tested is None else begun.tested.plugins)]
    return readers


def _notes(graphs: Sequence[Graph], measure: Measure) -> Iterator[str]:
    """Yield a warning if values of the measure mean different things at different points."""
    if len({_meaning(graph, measure) for graph in graphs}) > 1:
        yield (
            f"some settings change what '{measure.name}' means, so its values at different points cannot be compared: "
            "choose a measure that they leave alone, --objective accuracy or an objective's path"
        )


def _meaning(graph: Graph, measure: Measure) -> object:
    """Return what a value of the measure depends on beside the parameters: objectives with their weights, data."""
    objectives = tuple(
        (objective.path, objective.term, objective.weight, objective.change)
        for objective in graph.objectives
        if measure.name in (LOSS, objective.path, objective.part_of)
    )
    return objectives, graph.training.data, graph.training.validation
