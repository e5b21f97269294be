"""Items that differ in name alone: of stage instances or items of a family in a row, the first stands for the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from lnet.compiler.core.layer import Layer
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import Objective

LONG = 10
"""Chains of more items are drawn in part."""


@dataclass
class _Item:
    """A stage instance, or a layer of a family, with what is in it."""

    path: str
    layers: list[Layer] = field(default_factory=list)
    objectives: list[Objective] = field(default_factory=list)


def alike(graph: Graph) -> dict[str, list[str]]:
    """Return the items that are like one, by the first of each series."""
    found: dict[str, list[str]] = {}
    for items in _siblings(graph):
        before = [None, *items] if len(items) > LONG else [None] * len(items)
        forms = [_form(graph, item, last) for item, last in zip(items, before, strict=False)]
        for _, numbers in groupby(range(len(items)), forms.__getitem__):
            first, *others = numbers
            if others:
                found[items[first].path] = [items[number].path for number in others]
    return found


def family_of(path: str) -> str:
    """Return the family of an item; empty if it is none of a family."""
    return path.rpartition("[")[0] if path.endswith("]") else ""


def around(path: str) -> Iterator[str]:
    """Yield a path and those of the stage instances around it."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def _siblings(graph: Graph) -> list[list[_Item]]:
    """Return the items that may be alike: instances of one block, layers of one family."""
    groups: dict[tuple[str, str], list[_Item]] = {}
    items: dict[str, _Item] = {}
    for path, _ in graph.stages:
        items[path] = _Item(path)
        groups.setdefault(("instances", path.rpartition(".")[0]), []).append(items[path])
    for layer in graph.visible:
        if layer.path not in items and family_of(layer.path):
            items[layer.path] = _Item(layer.path)
            groups.setdefault(("layers", family_of(layer.path)), []).append(items[layer.path])
        for path in around(layer.path):
            if path in items:
                items[path].layers.append(layer)
    for objective in graph.objectives:
        for path in around(objective.path):
            if path in items:
                items[path].objectives.append(objective)
    return list(groups.values())


def _form(graph: Graph, item: _Item, before: _Item | None) -> tuple[object, ...]:
    """Return the structure of an item: equal for two that differ in name alone.

    Items of a family are alike, too, where each reads the one before it, if that is given.
    """
    chained = before is not None and family_of(item.path) and family_of(item.path) == family_of(before.path)

    def own(path: str) -> str:
        if item.path in around(path):
            return path.removeprefix(item.path)
        if chained and before is not None and before.path in around(path):
            return f"<{path.removeprefix(before.path)}"
        return f" {path}"

    def reads(paths: Sequence[str]) -> tuple[str, ...]:
        return tuple(own(graph.layer(path).path) for path in paths)

    return (
        tuple((own(layer.path), layer.op.renamed(own), reads(layer.reads)) for layer in item.layers),
        tuple((own(o.path), o.term, o.weight) for o in item.objectives),
    )
