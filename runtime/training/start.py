"""Initial parameters from another run, matched by name, and frozen parameters.

V1.filter.weight   of the other run, or from the seed if the other has none of that name and shape
learn.weight
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp

from lnet.compiler.graph.views import trained_parameters
from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import did_you_mean, refused
from lnet.runtime.engine.network import Network, initial_params
from lnet.runtime.engine.updates import constrained
from lnet.runtime.store.info import StartInfo
from lnet.runtime.store.run import open_run


@dataclass(frozen=True)
class Start:
    """Initial `params`; `notes` name those not from the other run, and those of its parameters that are left out.

    `source` is the record of their origin: the run, its step and its plan's digest.
    """

    params: dict[str, jax.Array]
    notes: tuple[str, ...]
    source: StartInfo


def start_from(source: Path, plan: Plan) -> Start:
    """Return initial parameters from the run `source`, matched by name. Raises `LnetError` if none of them fits."""
    params = initial_params(plan.graph, plan.graph.training.seed)
    run = open_run(source)
    checkpoint = run.checkpoint()
    found = Network(run.plan, checkpoint.params)
    fits = {name for name, value in params.items() if _fits(found, name, value)}
    notes = tuple(_note(found, name, value) for name, value in params.items() if name not in fits)
    unused = tuple(f"'{name}' of that run is not used" for name in found.params if name not in params)
    if not fits:
        raise refused(
            "E749", f"no parameter of '{source}' has the name and the shape of one here", *notes, *unused
        )
    taken = constrained(plan.graph, {name: jnp.asarray(found.params[name]) for name in fits})
    return Start(
        params | taken,
        (f"{len(fits)} of {len(params)} parameters are from '{source}'", *notes, *unused),
        {"run": str(source.resolve()), "step": checkpoint.step, "plan": run.plan.digest},
    )


def _fits(found: Network, name: str, value: jax.Array) -> bool:
    return name in found.params and found.params[name].shape == value.shape


def _note(found: Network, name: str, value: jax.Array) -> str:
    if name not in found.params:
        return f"'{name}' begins as the seed has it: that run has none"
    return f"'{name}' begins as the seed has it: its shape is {value.shape}, in that run {found.params[name].shape}"


def frozen(plan: Plan, paths: Sequence[str]) -> Plan:
    """Return a plan with the parameters of these layers and stages frozen; raises `LnetError` for unknown paths."""
    known = [path for path, _ in plan.graph.stages] + [layer.path for layer in plan.graph.visible]
    for path in paths:
        if path not in known:
            hints = did_you_mean(path, known)
            raise refused("E750", f"there is no layer or stage '{path}' to freeze", hint=hints)
    return replace(plan, graph=replace(plan.graph, frozen=(*plan.graph.frozen, *paths)))


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
