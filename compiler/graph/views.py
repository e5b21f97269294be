"""Views: the layers that an objective trains. `gradients = stage` makes everything outside its stage a constant.

A *view* is the block of some objective, and gradients flow only inside it. Values are the same in every view; as long
as objectives do not stand inside one another's instances, every layer has one view:

        V1.filter ──── V1.norm ──── V2.filter ──── V2.norm
            └── V1.learn    ╵           └── V2.learn
          view V1           ╵         view V2
                        a constant
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from lnet.compiler.core.layer import Layer
from lnet.compiler.objectives import Objective

if TYPE_CHECKING:
    from .graph import Graph

EVERYTHING = "*"
"""The view of `gradients = joint`: everything is trained."""
NOTHING = "-"
"""The view of layers that no objective trains."""


def views(graph: Graph) -> tuple[str, ...]:
    """Return every view once."""
    return tuple(dict.fromkeys(view_of(graph, objective) for objective in graph.objectives))


def view_of(graph: Graph, objective: Objective) -> str:
    """Return the view in which an objective trains."""
    return EVERYTHING if graph.training.gradients == "joint" else graph.block(objective.part_of)


def inside(block: str, view: str) -> bool:
    """Whether a block is trained in a view; the network's own block does not count the stages in it."""
    if view in (EVERYTHING, NOTHING):
        return view == EVERYTHING
    return block == view or (view != "" and block.startswith(f"{view}."))


def views_of(graph: Graph, layer: Layer) -> tuple[str, ...]:
    """Return the views that a layer's values are trained in."""
    block = graph.block(layer.path)
    return tuple(view for view in views(graph) if inside(block, view))


def trained_views(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the views in which gradients come back to the values of each layer."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys((layer.path for layer in graph.layers), ())
    for view, layer in _reached(graph, [o for o in graph.objectives if not o.term.reads_weights]):
        found[layer.path] += (view,)
    return found


def trained_parameters(graph: Graph) -> frozenset[str]:
    """Return the parameters that objectives train, without frozen ones; a term that reads weights trains them."""
    weighty = [objective for objective in graph.objectives if objective.counts]
    compare = [objective for objective in weighty if objective.term.reads_weights]
    trained: set[str] = set()
    for _, layer in _reached(graph, [objective for objective in weighty if objective not in compare]):
        trained.update(parameter.name for parameter in layer.parameters)
    for objective in compare:
        view, names = view_of(graph, objective), (p.name for p in graph.weights_read(objective))
        trained.update(name for name in names if inside(graph.block(name), view))
    return frozenset(name for name in trained if not graph.is_frozen(name))


def _reached(graph: Graph, objectives: Iterable[Objective]) -> Iterator[tuple[str, Layer]]:
    """Yield the layers whose values objectives train, with the view, in each view from the last to the first."""
    read: dict[str, set[int]] = {}
    for objective in objectives:
        places = (graph.place(path) for path in objective.reads)
        read.setdefault(view_of(graph, objective), set()).update(places)
    for view, seen in read.items():
        waiting = [-place for place in seen]
        heapify(waiting)
        while waiting:
            layer = graph.layers[-heappop(waiting)]
            if layer.op.differentiable and inside(graph.block(layer.path), view):
                yield view, layer
                for place in {graph.place(path) for path in layer.reads} - seen:
                    seen.add(place)
                    heappush(waiting, -place)
