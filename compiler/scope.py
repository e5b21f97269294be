"""What a name can mean at one place of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lnet.dsl import nodes

from .layer import Layer
from .objectives import Objective
from .values import Unknown, Value


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a stage: its items, and the layer that is its value."""

    items: Mapping[str, Entry]
    value: Layer | Unknown


Entry = Layer | Objective | Instance | Unknown
"""What an item of a block turned out to be."""


@dataclass(slots=True)
class Scope:
    """Names visible at one place: constants and parameters, and the items of the block so far.

    `pending` are the items of the block that stand further down, with their places.
    """

    values: Mapping[str, Value]
    path: str = ""
    items: dict[str, Entry] = field(default_factory=dict)
    pending: dict[str, nodes.Name] = field(default_factory=dict)
    above: Layer | Unknown | None = None

    def child_path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    @property
    def names(self) -> list[str]:
        """Everything a bare name could have meant, for hints."""
        return [*self.values, *self.items, *self.pending]


def members(entry: Entry) -> Mapping[str, Entry]:
    """Return what can stand behind a dot."""
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
