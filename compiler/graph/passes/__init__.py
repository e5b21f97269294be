"""Passes over the graph, in their order: one pure function, one file each, and what must hold after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lnet.compiler.graph.graph import Graph

from .expand_rica import expand_rica, rica_left


@dataclass(frozen=True, slots=True)
class Pass:
    """A function from graph to graph; `faults` yields what it should have removed or made, and did not."""

    run: Callable[[Graph], Graph]
    faults: Callable[[Graph], Iterator[str]]

    @property
    def name(self) -> str:
        return self.run.__name__


PASSES = (Pass(expand_rica, rica_left),)
