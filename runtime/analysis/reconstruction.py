"""Reconstructions of decoders, beside their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.graph.graph import Graph
from lnet.runtime.engine.evaluate import Programs
from lnet.runtime.engine.network import Network
from lnet.runtime.process.counted import counted

Array = NDArray[np.floating[Any]]


AT_ONCE = 8
"""Images whose values are in memory together."""
KEPT = 8
"""Images whose reconstructions are kept."""


@dataclass(frozen=True)
class Reconstruction:
    """A decoder's value beside its target's, `of`, of the first images: each `[image, row, column, map]`.

    `error`: of all images, the squared error relative to that of their mean: 0 is perfect, 1 as good as the mean.
    """

    objective: str
    of: str
    target: Array
    value: Array
    error: float


@dataclass
class _Sums:
    """Of targets less that of the first image: the sum, and that of the squares; and the squared error of their values."""

    first: Array | None = None
    deviation: Array | float = 0.0
    square: float = 0.0
    error: float = 0.0

    def add(self, target: Array, value: Array) -> None:
        self.first = target[0] if self.first is None else self.first
        deviation = target - self.first
        self.deviation = self.deviation + deviation.sum(0, dtype=float)
        self.square += float(np.square(deviation).sum(dtype=float))
        self.error += float(np.square(value - target).sum(dtype=float))

    def relative_error(self, images: int) -> float:
        spread = self.square - float(np.square(self.deviation).sum()) / images
        return self.error / spread if spread > 0 else float("inf")


def reconstructions(
    network: Network, images: Array, programs: Programs | None = None
) -> list[Reconstruction]:
    """Return the reconstructions of images by every decoder that an objective compares with a layer.

    `programs`: programs compiled for networks of the same plan; missing ones are added.
    """
    programs = {} if programs is None else programs
    pairs = compared(network.graph)
    sums = [_Sums() for _ in pairs]
    kept: list[tuple[Array, Array]] = []
    parts = network.everything_in_parts(images, AT_ONCE, programs) if pairs else iter(())
    for values in counted("images reconstructed", parts, -(-len(images) // AT_ONCE)):
        found = [(values[of], values[decoder]) for _, of, decoder in pairs]
        kept = kept or [(target[:KEPT], value[:KEPT]) for target, value in found]
        for each, (target, value) in zip(sums, found, strict=True):
            each.add(target, value)
    return [
        Reconstruction(name, of, *pair, each.relative_error(len(images)))
        for (name, of, _), pair, each in zip(pairs, kept, sums, strict=True)
    ]


def compared(graph: Graph) -> list[tuple[str, str, str]]:
    """Return the objectives that compare a decoder with a layer, each with its target and its decoder."""
    found = []
    for objective in graph.objectives:
        if objective.term.is_error:
            one, other = (graph.layer(path) for path in objective.reads)
            if one.op.scatters != other.op.scatters:
                decoder, target = (one, other) if one.op.scatters else (other, one)
                found.append((objective.part_of, target.path, decoder.path))
    return found
