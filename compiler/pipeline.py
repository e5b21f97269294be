"""From a file to a plan: the arrows of the compiler, in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from lnet.dsl import nodes, parse_source, read_source
from lnet.dsl.diagnostics import Collector, LnetError
from lnet.dsl.source import Source

from .elaborate import elaborate
from .graph import Graph
from .overrides import apply_overrides, overridden
from .passes.expand_rica import expand_rica
from .plan import Plan

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    expand_rica,  # no `rica` left: decoders and terms
)


def parse_file(path: str | os.PathLike[str], collector: Collector | None = None) -> tuple[Source, nodes.Module]:
    """File -> Source -> Module."""
    source = read_source(path)
    return source, parse_source(collector or Collector(source))


def build_graph(source: Source, overrides: Mapping[str, str], collector: Collector) -> Graph:
    """Source -> Module -> Graph; raises `LnetError` with everything that is wrong."""
    module = apply_overrides(parse_source(collector), overrides)
    graph = elaborate(module, collector)
    _note_overrides(collector, overridden(module, overrides))
    collector.raise_errors()
    assert graph is not None, "elaborate: no graph and no error"
    return graph


def _note_overrides(collector: Collector, places: Mapping[object, str]) -> None:
    collector.diagnostics = [
        replace(d, notes=(*d.notes, places[d.span])) if d.span in places else d for d in collector.diagnostics
    ]


def run_passes(graph: Graph) -> Graph:
    """Graph -> Graph, by every pass in turn."""
    for transform in PASSES:
        graph = transform(graph)
    return graph


def compile_source(source: Source, overrides: Mapping[str, str], collector: Collector) -> Plan:
    """Source -> Plan."""
    graph = run_passes(build_graph(source, overrides, collector))
    return Plan(source.name, source.text, tuple(overrides.items()), graph)


def compile_text(text: str, overrides: Mapping[str, str] | None = None, name: str = "<text>") -> Plan:
    """Return the plan of a text; raises `LnetError`."""
    source = Source(text, name)
    return compile_source(source, overrides or {}, Collector(source))


__all__ = ["LnetError", "PASSES", "build_graph", "compile_source", "compile_text", "parse_file", "run_passes"]
