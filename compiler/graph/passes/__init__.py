"""Passes over the graph, in order: each one pure function in one file, with its postcondition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lnet.compiler.graph.graph import Graph

from .expand_rica import expand_rica, rica_left


@dataclass(frozen=True, slots=True)
class Pass:
    """A function from graph to graph; `faults` yields violations of its postcondition."""

    run: Callable[[Graph], Graph]
    faults: Callable[[Graph], Iterator[str]]

    @property
    def name(self) -> str:
        return self.run.__name__


PASSES = (Pass(expand_rica, rica_left),)
