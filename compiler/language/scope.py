"""Scopes: the names visible at one place of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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

    items: dict[str, Entry]
    value: Layer | Unknown


@dataclass(frozen=True, slots=True)
class Family:
    """The items `NAME[0]` to `NAME[count - 1]`, as far as they are elaborated."""

    count: int
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an item in the file, with its path, and a note on the instance of its stage."""

    span: Span
    path: str
    note: str

    @property
    def item(self) -> str:
        """The path, if further items may have the same place."""
        return self.path if self.note else ""


@dataclass(frozen=True, slots=True)
class Made:
    """The layers made so far, of all blocks: the number of each, and those that read it."""

    numbers: dict[str, int] = field(default_factory=dict)
    readers: dict[str, list[Layer]] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        self.numbers[layer.path] = len(self.numbers)
        for path in dict.fromkeys(layer.reads):
            self.readers.setdefault(path, []).append(layer)

    def place(self, layer: Layer) -> int:
        """Return how many layers were made before one."""
        return self.numbers[layer.path]

    def of(self, origin: Layer) -> Iterator[Layer]:
        """Yield the layers that are computed from one, directly or not."""
        seen, waiting = {origin.path}, [origin.path]
        while waiting:
            for layer in self.readers.get(waiting.pop(), ()):
                if layer.path not in seen:
                    seen.add(layer.path)
                    waiting.append(layer.path)
                    yield layer


Entry = Layer | Objective | Instance | Family | Unknown
"""The meaning of an item of a block."""


@dataclass(slots=True)
class Scope:
    """Names visible at one place: constants and parameters, and the items of the block so far.

    `pending` are the items of the block that stand further down, with their places. `calls` are the lines that call for
    the instance of a stage that the block is, from its own item out to that of the network; `of_network`: the block is that
    of the network itself. `index` is the number of the item under elaboration, if it is one of a family.
    """

    values: Mapping[str, Value]
    path: str = ""
    calls: tuple[str, ...] = ()
    items: dict[str, Entry] = field(default_factory=dict)
    pending: dict[str, nodes.Name] = field(default_factory=dict)
    above: Layer | Unknown | None = None
    of_network: bool = False
    index: int | Unknown | None = None

    def has(self, layer: Layer) -> bool:
        """Whether a layer is an item of this block itself."""
        return layer.path.rpartition(".")[0] == self.path

    def child_path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def place(self, span: Span, path: str) -> Place:
        """Return the place of an item; its note is empty unless it is one of a stage or of a family."""
        if self.calls:
            return Place(span, path, f"in '{path}', called in line {', from line '.join(self.calls)}")
        return Place(span, path, f"in '{path}'" if isinstance(self.index, int) else "")

    @property
    def names(self) -> list[str]:
        """All names visible here, for hints."""
        return [*self.values, *self.items, *self.pending]


def members(entry: Entry) -> Mapping[str, Entry]:
    """Return the names allowed behind a dot."""
    return entry.items if isinstance(entry, Instance) else {}


def layer_of(entry: Entry) -> Layer | Unknown | None:
    """Return the layer that an entry is or ends with; None for an objective."""
    match entry:
        case Instance():
            return entry.value
        case Family():
            return layer_of(entry.entries[-1]) if entry.entries else UNKNOWN
        case Layer() | Unknown():
            return entry
        case _:
            return None


def find_default(
    default: str | Nearest | None, bound: Mapping[str, Any], scope: Scope, made: Made
) -> Layer | Unknown | None:
    """Return the default layer of an argument that names none; None if there is no such layer."""
    if default == "above":
        return scope.above
    if not isinstance(default, Nearest):
        return bound[default] if default else None
    origin = bound.get(default.made_from)
    if isinstance(origin, Unknown):
        return UNKNOWN
    if origin is not None:
        found = [layer for layer in made.of(origin) if scope.has(layer) and default.is_found(layer)]
        if found:
            return max(found, key=made.place)
    for entry in _from_the_last(scope.items):
        if isinstance(entry, Unknown):
            return UNKNOWN  # it might have been the one
        if origin is None and isinstance(entry, Layer) and default.is_found(entry):
            return entry
    return None


def _from_the_last(items: dict[str, Entry]) -> Iterator[Entry]:
    """Yield the items of a block from the last to the first, those of families one by one."""
    for entry in reversed(items.values()):
        yield from reversed(entry.entries) if isinstance(entry, Family) else (entry,)


def layers_in(entries: Iterable[Entry]) -> Iterator[Layer]:
    """Yield the layers among some items, those of stages and families too."""
    for entry in entries:
        if isinstance(entry, Layer):
            yield entry
        elif isinstance(entry, Family):
            yield from layers_in(entry.entries)
        else:
            yield from layers_in(members(entry).values())
