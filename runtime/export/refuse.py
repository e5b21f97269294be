"""What cannot be exported."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import refused


def check_suffix(path: Path, suffix: str) -> None:
    """Raise `LnetError` for a file with another suffix."""
    if path.suffix != suffix:
        raise refused("E782", f"expected a file that ends in '{suffix}', found '{path.name}'")


def check_known(graph: Graph, kinds: Container[str], where: str) -> None:
    """Raise `LnetError` for a layer of a kind, or with an `act`, that cannot be written elsewhere: a plug-in's; for none."""
    if not graph.visible[1:]:
        raise refused(
            "E789", f"the network '{graph.name}' has no layer but its input: there is nothing to compute"
        )
    for layer in graph.visible[1:]:
        for op in (layer.op, *layer.op.applies):
            if op.kind not in kinds:
                raise refused(
                    "E789",
                    f"the layer '{layer.path}' cannot be written for {where}: its '{op.kind}' is a plug-in's",
                    hint="'lnetc export RUN --stablehlo PROGRAM' writes the layers of plug-ins, too",
                )
