"""What other ops end with: `act`."""

from __future__ import annotations

from typing import Any

from lnet.compiler.ops.position import AtPosition
from lnet.runtime.export.nodes import Name, Nodes

from . import pointwise, softmax

_MODULES = {**pointwise.MODULES, **softmax.MODULES}
_NODES = {**pointwise.NODES, **softmax.NODES}


def act(op: AtPosition | None) -> dict[str, Any]:
    """Return the argument `act` of a module; none for none."""
    return {} if op is None else {"act": _MODULES[op.kind](op)}


def activated(op: AtPosition | None, nodes: Nodes, x: Name) -> Name:
    """Add the nodes of an `act`; None leaves the values as they are."""
    return x if op is None else _NODES[op.kind](op, nodes, [x], {})
