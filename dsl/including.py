"""Included files: their declarations in one module with those of the file that includes them.

a.lnet                          b.lnet
include "b.lnet"                stage sense() { ... }       ->   one module, in which a span says which file it is of
network n { V1: sense() }
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from . import nodes
from .diagnostics import Collector, Diagnostic
from .source import Span


def name_of_included(includer: str, path: str) -> str:
    """Return the name of an included file: its path is relative to the file that includes it."""
    return os.path.join(os.path.dirname(includer), path)


def moved(module: nodes.Module, by: int) -> nodes.Module:
    """Return a module as it is in a text that begins as many characters later."""
    return replace(module, declarations=nodes.respanned(module.declarations, lambda span: span.moved(by)))


def report_unread(module: nodes.Module, collector: Collector) -> None:
    """Report the files that a text without a path includes."""
    for include in _includes(module):
        collector.add(
            Diagnostic(
                "E218",
                "a text that is in no file cannot include another",
                include.span,
                hints=("write it into a file and compile that",),
            )
        )


def with_included(modules: Sequence[nodes.Module], collector: Collector) -> nodes.Module:
    """Return the module of a file with the declarations of those that it includes; only stages and constants can be."""
    main, *others = modules
    sites = {name: span for module in modules for name, span in _sites(module, collector)}
    declarations = list(main.declarations)
    for file, module in zip(collector.source.included, others, strict=True):
        for each in module.declarations:
            if isinstance(each, nodes.Network | nodes.Train):
                _report_network(each, sites[file.name], collector)
            else:
                declarations.append(each)
    return replace(main, declarations=tuple(declarations))


def _report_network(found: nodes.Network | nodes.Train, site: Span, collector: Collector) -> None:
    what = "network" if isinstance(found, nodes.Network) else "train block"
    collector.add(
        Diagnostic(
            "E217",
            f"an included file has only stages and constants, and this is a {what}",
            found.name.span if isinstance(found, nodes.Network) else found.span,
            related=((site, "included here"),),
        )
    )


def _sites(module: nodes.Module, collector: Collector) -> Iterator[tuple[str, Span]]:
    """Yield the names of the files that a module includes, and where it does so."""
    for include in _includes(module):
        file, _ = collector.source.at(include.span.start)
        yield name_of_included(file.name, include.path.value), include.span


def _includes(module: nodes.Module) -> Iterator[nodes.Include]:
    return (each for each in module.declarations if isinstance(each, nodes.Include))
