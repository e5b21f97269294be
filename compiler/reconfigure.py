"""Settings beside a plan's source that differ from its own: what they are, provided that they leave the network alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lnet.dsl.diagnostics import Collector, LnetError, refused

from .graph.graph import Graph
from .language.overrides import as_text, later
from .pipeline import build_graph
from .plan.plan import Plan
from .words import TRAIN

SHOWN = 8
"""Parameters that an error names."""
HINT = "begin a run with the parameters of this one: lnetc run --from RUN --set ..."


def reconfigured(plan: Plan, set: Mapping[str, object]) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """Return the settings of `train` that are given or follow from a constant, and the plan's overrides with them.

    Raises `LnetError` for what is wrong, and for what would change the network.
    """
    overrides = {name: as_text(value) for name, value in set.items()}
    own = dict(plan.overrides)
    merged = later(own, overrides)
    before, after = _graph(plan, own), _graph(plan, merged)
    if _network(after) != _network(before):
        raise _another_network(plan, overrides)
    was, now = before.training, after.training
    given = {name.removeprefix("train.") for name in overrides}
    names = [row.name for row in TRAIN.given]
    changed = {n: getattr(now, n) for n in names if n in given or getattr(now, n) != getattr(was, n)}
    return changed, tuple(merged.items())


def _graph(plan: Plan, overrides: Mapping[str, str]) -> Graph:
    return build_graph(plan.source, overrides, Collector(plan.source), plan.graph, plan.graph.frozen)


def _network(graph: Graph) -> Graph:
    return replace(graph, training=type(graph.training)())


def _another_network(plan: Plan, overrides: Mapping[str, str]) -> LnetError:
    """Return the error for settings that change the network, with the parameters that would change."""
    own = dict(plan.overrides)
    before = _graph(plan, own)
    for name, text in overrides.items():
        after = _graph(plan, later(own, {name: text}))
        if _network(after) != _network(before):
            return refused(
                "E754", f"'{name} = {text}' would change the network", _differing(before, after), hint=HINT
            )
    return refused("E754", f"together, {', '.join(overrides)} would change the network", hint=HINT)


def _differing(before: Graph, after: Graph) -> str:
    was, now = ({p.name: p.shape for p in graph.parameters} for graph in (before, after))
    names = [f"'{name}'" for name in was | now if was.get(name) != now.get(name)]
    if not names:
        return "its parameters would keep their shapes, and what is computed with them would not be the same"
    return f"parameters that would change: {', '.join(names[:SHOWN])}{', ...' * (len(names) > SHOWN)}"
