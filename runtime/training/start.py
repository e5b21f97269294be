"""Initial parameters from another run, a network or a file of weights, and frozen parameters.

V1.filter.weight   of the other run, or from the seed if the other has none of that name and shape
learn.weight
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lnet.compiler.graph.graph import Graph
from lnet.compiler.graph.views import trained_parameters
from lnet.compiler.plan.plan import Plan
from lnet.compiler.settings import DATASET, DatasetFigures, Normalization
from lnet.dsl.diagnostics import did_you_mean, refused, those_there_are
from lnet.runtime.engine.network import Network, initial_params
from lnet.runtime.engine.updates import constrained
from lnet.runtime.process.precision import has_float16
from lnet.runtime.store.info import StartInfo
from lnet.runtime.store.run import Run, open_run
from lnet.runtime.weights.files import READERS, digest_of, open_weights
from lnet.runtime.weights.mapping import map_weights

StrPath = str | os.PathLike[str]
Source = Path | Network
"""The path of a run or of a file of weights, or a network with its parameters."""


@dataclass(frozen=True)
class Start:
    """Initial `params`; `notes` say which are not from there, and what there is left out.

    `source` is the record of their origin.
    """

    params: dict[str, jax.Array]
    notes: tuple[str, ...]
    source: StartInfo


def source_of(start: StrPath | Run | Network) -> Source:
    """Return what a run begins with, a run by its path."""
    if isinstance(start, Network):
        return start
    return start.path if isinstance(start, Run) else Path(start)


def name_of(source: Source) -> str:
    """Return what messages call it."""
    return f"the network '{source.graph.name}'" if isinstance(source, Network) else f"'{source}'"


def start_from(source: Source, plan: Plan, mapping: StrPath | None = None) -> Start:
    """Return initial parameters from somewhere; raises `LnetError` if none of them fits.

    Those of a run or a network are matched by name, those of a file as `map_weights` says, which `mapping` corrects.
    """
    if isinstance(source, Path) and _is_file(source):
        return start_from_file(source, plan, mapping)
    what = "network" if isinstance(source, Network) else "run"
    if mapping is not None:
        raise refused(
            "E757",
            f"a mapping corrects how the arrays of a file are matched: {name_of(source)} is not a file",
            hint=f"parameters of a {what} are matched by name: leave '--mapping' out",
        )
    found, origin = _opened(source)
    params = initial_params(plan.graph, plan.graph.training.seed)
    fits = {name for name, value in params.items() if _fits(found, name, value)}
    notes = tuple(_note(found, what, name, value) for name, value in params.items() if name not in fits)
    unused = tuple(f"'{name}' of that {what} is not used" for name in found.params if name not in params)
    if not fits:
        message = f"no parameter of {name_of(source)} has the name and the shape of one here"
        raise refused("E749", message, *notes, *unused)
    taken = constrained(plan.graph, {name: jnp.asarray(found.params[name], float) for name in fits})
    first = f"{len(fits)} of {len(params)} parameters are from {name_of(source)}"
    return Start(params | taken, (first, *notes, *unused), origin)


def _opened(source: Source) -> tuple[Network, StartInfo]:
    """Return a network, or that of a run, with the record of its origin."""
    if isinstance(source, Network):
        return source, {"network": source.graph.name, "plan": source.plan.digest}
    run = open_run(source)
    checkpoint = run.checkpoint(state=False)
    origin: StartInfo = {"run": str(source.resolve()), "step": checkpoint.step, "plan": run.plan.digest}
    return Network(run.plan, checkpoint.params), origin


def classes_of(source: Source) -> tuple[str, ...] | None:
    """Return the classes of the run that another begins with; None for a network and a file of weights."""
    return None if isinstance(source, Network) or _is_file(source) else open_run(source).classes


def figures_of(source: Source, graph: Graph) -> DatasetFigures | None:
    """Return the figures of the data set by which what a run begins with is normalised; None if there are none that fit."""
    if isinstance(source, Network):
        data = source.graph.training.data
        found: Normalization | None = None if data is None else data.normalize
    elif _is_file(source):
        found = open_weights(source).figures
    else:
        found = open_run(source).plan.graph.data.normalize
    if isinstance(found, DatasetFigures) and len(found.mean) == graph.input.sheet.maps:
        return found
    return None


def normalized_by(plan: Plan, figures: DatasetFigures | None) -> Plan:
    """Return a plan whose `normalize = dataset` has the figures of a data set."""
    training = plan.graph.training
    if figures is None or training.data is None or str(training.data.normalize) != DATASET:
        return plan
    training = replace(training, data=training.data.normalized(figures))
    return replace(plan, graph=replace(plan.graph, training=training))


def _is_file(source: Path) -> bool:
    return source.is_file() or (not source.exists() and source.suffix in READERS)


def start_from_file(source: Path, plan: Plan, mapping: StrPath | None = None) -> Start:
    """Return initial parameters from a file of weights; `notes` say how its arrays are mapped.

    Raises `LnetError` for a file or a mapping that cannot be read, if nothing fits, and for weights that are not finite.
    """
    params = initial_params(plan.graph, plan.graph.training.seed)
    found = map_weights(plan.graph, open_weights(source), None if mapping is None else Path(mapping))
    missing = tuple(
        f"'{name}' begins as the seed has it: no array of that file fits" for name in found.missing
    )
    unused = tuple(f"'{name}' of that file is not used" for name in found.unused)
    if not found.taken:
        raise refused("E749", f"no array of '{source}' fits a parameter here", *missing, *unused)
    for taken in found.taken:
        name = taken.target.parameter.name
        value = np.asarray(taken.read(), params[name].dtype)
        if not np.isfinite(value).all():
            raise refused("E756", f"'{taken.array.name}' of '{source}' has values that are not finite")
        params[name] = jnp.asarray(value)
    first = f"{len(found.taken)} of {len(params)} parameters are from '{source}':"
    notes = (first, *(f"  {taken}" for taken in found.taken), *missing, *unused)
    return Start(
        constrained(plan.graph, params), notes, {"file": str(source.resolve()), "digest": digest_of(source)}
    )


def _fits(found: Network, name: str, value: jax.Array) -> bool:
    return name in found.params and found.params[name].shape == value.shape


def _note(found: Network, what: str, name: str, value: jax.Array) -> str:
    begins = f"'{name}' begins as the seed has it"
    if name not in found.params:
        return f"{begins}: that {what} has none"
    return f"{begins}: its shape is {value.shape}, in that {what} {found.params[name].shape}"


def frozen(plan: Plan, paths: Sequence[str]) -> Plan:
    """Return a plan with the parameters of layers, stages and families frozen; raises `LnetError` for unknown paths."""
    items = [path for path, _ in plan.graph.stages] + [layer.path for layer in plan.graph.visible]
    paths = (paths,) if isinstance(paths, str) else tuple(paths)
    known = dict.fromkeys([*items, *(path[: path.rindex("[")] for path in items if path.endswith("]"))])
    for path in paths:
        if path not in known:
            message, notes = f"there is no layer or stage '{path}' to freeze", those_there_are("items", known)
            raise refused("E750", message, notes, hint=did_you_mean(path, known))
    return replace(plan, graph=replace(plan.graph, frozen=(*plan.graph.frozen, *paths)))


def check_precision(plan: Plan, cluster: bool) -> None:
    """Raise `LnetError` for a plan in float16 that is not trained in one process on a GPU."""
    if plan.graph.training.precision != "float16" or (has_float16() and not cluster):
        return
    where = (
        "the workers of a cluster do not scale the loss"
        if cluster
        else "this machine computes on its processor"
    )
    raise refused(
        "E751",
        f"'precision = float16' is for one process on a GPU, and {where}",
        hint=(
            "operands in bfloat16 need no scale, and any device takes them: --set train.precision=bfloat16",
            "a GPU is found with JAX's own package for it: pip install 'jax[cuda12]'",
        )[: 1 if cluster else 2],
    )


def check_devices(plan: Plan, count: int, cluster: bool) -> None:
    """Raise `LnetError` unless this process has so many devices, which divide each batch equally."""
    if not isinstance(count, int) or count < 1:
        raise refused("E796", f"the number of devices must be a positive integer, found {count!r}")
    if count == 1:
        return
    if cluster:
        raise refused(
            "E796",
            "devices divide the batches of one process",
            hint="on a cluster, replicas and tiles share the work: 'lnetc compile --replicas', '--workers'",
        )
    there, rows = jax.local_devices(), plan.graph.training.batch_rows
    if count > len(there):
        raise refused(
            "E796",
            f"{count} devices are asked for, and JAX has {len(there)} here: {there[0].device_kind}",
            hint="GPUs are found with JAX's own package for them: pip install 'jax[cuda12]'",
        )
    if rows % count:
        raise refused(
            "E796",
            f"{rows:,} rows of a batch cannot be divided equally among {count} devices",
            hint=f"another batch, such as --set train.batch={plan.graph.training.batch // count * count or count}",
        )


def check_learns(plan: Plan) -> None:
    """Raise `LnetError` for a plan that trains no weights."""
    graph = plan.graph
    if not graph.objectives:
        raise refused(
            "E514",
            f"the network '{graph.name}' has no objective, so there is nothing to learn",
            hint="add one, such as 'learn: rica()' in a stage, or 'learn: cross_entropy()' as the last item",
        )
    if trained_parameters(graph):
        return
    if trained_parameters(replace(graph, frozen=())):
        kept = ", ".join(f"'{path}'" for path in graph.frozen)
        raise refused(
            "E514",
            f"everything that an objective trains is frozen, so there is nothing to learn: {kept}",
            hint="freeze fewer layers and stages",
        )
    raise refused(
        "E514",
        "no objective trains any weights, so there is nothing to learn",
        hint="'lnetc check' names the layers and stages that no objective trains",
    )
