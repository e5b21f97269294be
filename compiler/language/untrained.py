"""Warnings of untrained parts: a network without objectives, stages and layers that no objective trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from shlex import quote

from lnet.compiler.core.layer import Layer
from lnet.compiler.graph.graph import Graph
from lnet.compiler.graph.views import trained_parameters
from lnet.dsl import nodes
from lnet.dsl.diagnostics import Collector, Diagnostic

from .scope import Place

MOST_LISTED = 6


def warn_untrained(
    graph: Graph, network: nodes.Network, places: Mapping[str, Place], collector: Collector
) -> None:
    """Warn of weights that no objective trains, except frozen ones; a stage with no trained weights is named as a whole."""
    if not graph.objectives:
        collector.add(
            Diagnostic(
                "W501",
                f"the network '{graph.name}' has no objective, so it learns nothing",
                network.name.span,
                hints=(
                    "add one, such as 'learn: rica()' in a stage, or 'learn: cross_entropy()' as the last item",
                ),
            )
        )
        return
    learned = tuple(objective for objective in graph.objectives if not objective.term.shrinks)
    trained = trained_parameters(replace(graph, objectives=learned))
    idle, busy = [], set[str]()
    for layer in filter(_owns_weights, graph.layers):
        names = [p.name for p in layer.parameters]
        if not trained.isdisjoint(names) or all(map(graph.is_frozen, names)):
            busy.update((layer.path, *_stages(layer.path)))
        else:
            idle.append(layer)
    groups: dict[str, list[str]] = {}
    for layer in idle:
        outermost = next((stage for stage in _stages(layer.path) if stage not in busy), layer.path)
        groups.setdefault(outermost, []).append(layer.path)
    for path, names in groups.items():
        family, bracket, _ = path.rpartition("[")
        whole = (
            bool(bracket) and path.endswith("]") and not any(name.startswith(f"{family}[") for name in busy)
        )
        collector.add(_untrained(graph, path, family if whole else path, names, places[path]))


def _owns_weights(layer: Layer) -> bool:
    """Whether a layer has weights, and not those of another, as a tied decoder does."""
    return any(parameter.name.startswith(f"{layer.path}.") for parameter in layer.parameters)


def _stages(path: str) -> Iterator[str]:
    """Yield the instances that a layer stands in, the outermost first."""
    parts = path.split(".")
    yield from (".".join(parts[:depth]) for depth in range(1, len(parts)))


def _untrained(graph: Graph, path: str, frozen: str, names: Sequence[str], place: Place) -> Diagnostic:
    notes = [place.note] if place.note else []
    if [path] != names:
        more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
        notes.append(f"its layers with weights: {', '.join(names[:MOST_LISTED])}{more}")
    if graph.training.gradients == "stage":
        notes.append(
            "with 'gradients = stage' an objective trains the stage that it stands in, and nothing outside"
        )
    return Diagnostic(
        "W502",
        f"no objective trains the weights of '{path}'",
        place.span,
        notes=tuple(notes),
        hints=(f"add an objective that reads it, or freeze it: lnetc run --freeze {quote(frozen)}",),
        item=path,
    )
