"""Scopes: the names visible at one place of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lnet.compiler.core.arguments import Nearest
from lnet.compiler.core.layer import Layer
from lnet.compiler.core.values import UNKNOWN, Unknown, Value
from lnet.compiler.objectives import Objective
from lnet.dsl import nodes
from lnet.dsl.source import Span


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a stage: its items, and the layer that is its value."""

    items: Mapping[str, Entry]
    value: Layer | Unknown


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an item in the file, with a note on the instance of its stage."""

    span: Span
    note: str


Entry = Layer | Objective | Instance | Unknown
"""The meaning of an item of a block."""


@dataclass(slots=True)
class Scope:
    """Names visible at one place: constants and parameters, and the items of the block so far.

    `pending` are the items of the block that stand further down, with their places. `calls` are the lines that call for
    the instance of a stage that the block is, from its own item out to that of the network; `of_network`: the block is that
    of the network itself.
    """

    values: Mapping[str, Value]
    path: str = ""
    calls: tuple[int, ...] = ()
    items: dict[str, Entry] = field(default_factory=dict)
    pending: dict[str, nodes.Name] = field(default_factory=dict)
    above: Layer | Unknown | None = None
    of_network: bool = False

    def child_path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def note(self, path: str) -> str:
        """Return a note on the place in the network of an item of a stage; empty outside of instances."""
        return (
            f"in '{path}', called in line {', from line '.join(map(str, self.calls))}" if self.calls else ""
        )

    @property
    def names(self) -> list[str]:
        """All names visible here, for hints."""
        return [*self.values, *self.items, *self.pending]


def members(entry: Entry) -> Mapping[str, Entry]:
    """Return the names allowed behind a dot."""
    return entry.items if isinstance(entry, Instance) else {}


def layer_of(entry: Entry) -> Layer | Unknown | None:
    """Return the layer that an entry is or stands for; None for an objective."""
    match entry:
        case Instance():
            return entry.value
        case Layer() | Unknown():
            return entry
        case _:
            return None


def find_default(
    default: str | Nearest | None, bound: Mapping[str, Any], scope: Scope
) -> Layer | Unknown | None:
    """Return the default layer of an argument that names none; None if there is no such layer."""
    if default == "above":
        return scope.above
    if not isinstance(default, Nearest):
        return bound[default] if default else None
    for entry in reversed(list(scope.items.values())):
        if isinstance(entry, Unknown):
            return UNKNOWN  # it might have been the one
        if not isinstance(entry, Layer):
            continue
        origin = bound.get(default.made_from)
        if isinstance(entry.op, default.op) and (origin is None or _made_from(entry, origin, scope)):
            return entry
    return None


def _made_from(layer: Layer, origin: Layer | Unknown, scope: Scope) -> bool:
    """Whether a layer of a block is computed from another, directly or not."""
    if isinstance(origin, Unknown):
        return False
    reached = {origin.path}
    for candidate in _layers_in(scope.items):  # in the order of the block, so one pass will do
        if reached.intersection(candidate.reads):
            reached.add(candidate.path)
    return layer.path in reached


def _layers_in(items: Mapping[str, Entry]) -> Iterator[Layer]:
    """Yield the layers of a block, those of stages in it too."""
    for entry in items.values():
        if isinstance(entry, Layer):
            yield entry
        else:
            yield from _layers_in(members(entry))
