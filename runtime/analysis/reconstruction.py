"""Reconstructions of decoders, beside their targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.graph.graph import Graph
from lnet.runtime.engine.network import Network

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Reconstruction:
    """A decoder's value beside its target's, each `[batch, row, column, map]`; `of` is the target's path."""

    objective: str
    of: str
    target: Array
    value: Array

    @property
    def error(self) -> float:
        """Squared error relative to that of the images' mean: 0 is perfect, 1 as good as the mean."""
        spread = float(((self.target - self.target.mean(0)) ** 2).sum())
        return float(((self.value - self.target) ** 2).sum()) / spread if spread else float("inf")


def reconstructions(network: Network, images: Array) -> list[Reconstruction]:
    """Return the reconstructions of images by every decoder that an objective compares with a layer."""
    graph = network.graph
    compared = list(_compared(graph))
    if not compared:
        return []
    values = network.everything(images)
    return [Reconstruction(name, of, values[of], values[decoder]) for name, of, decoder in compared]


def _compared(graph: Graph) -> Iterator[tuple[str, str, str]]:
    for objective in graph.objectives:
        if objective.term.is_error:
            one, other = (graph.layer(path) for path in objective.reads)
            if one.op.scatters != other.op.scatters:
                decoder, target = (one, other) if one.op.scatters else (other, one)
                yield objective.part_of, target.path, decoder.path
