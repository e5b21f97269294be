"""Through which layers an objective trains: `gradients = stage` makes everything outside its stage a constant.

A *view* is the block of some objective, and gradients flow only inside it. Values are the same in every view; as long
as objectives do not stand inside one another's instances, every layer has one view:

        V1.filter ──── V1.norm ──── V2.filter ──── V2.norm
            └── V1.learn    ╵           └── V2.learn
          view V1           ╵         view V2
                        a constant
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .layer import Layer
from .objectives import Objective

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


def trained_views(graph: Graph, layer: Layer) -> tuple[str, ...]:
    """Return the views in which gradients come back to a layer's values."""
    return tuple(view for view in views_of(graph, layer) if _reaches_objective(graph, layer, view))


def _reaches_objective(graph: Graph, layer: Layer, view: str) -> bool:
    reached = {layer.path}
    for reader in graph.layers:
        read = {graph.layer(path).path for path in reader.reads}
        if read & reached and inside(graph.block(reader.path), view):
            reached.add(reader.path)
    return any(
        graph.layer(path).path in reached
        for objective in graph.objectives
        if view_of(graph, objective) == view
        for path in objective.reads
    )
