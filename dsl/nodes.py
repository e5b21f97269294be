"""The syntax tree: frozen, spanned, untyped.

Spans take no part in equality, so two files that differ only in layout have equal trees; the spelling of a
number does take part, because `lnetc fmt` keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from .source import Span

KEYWORDS = frozenset(("lnet", "let", "stage", "network", "train"))
"""Keywords, which cannot be names."""


@dataclass(frozen=True, slots=True)
class Node:
    """The base of all nodes: a place in the source."""

    span: Span = field(compare=False, repr=False)


# --- expressions -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number(Node):
    """`18`, `0.01`, `1e-3`, as it was written."""

    text: str

    @property
    def value(self) -> int | float:
        return int(self.text) if self.text.isdecimal() else float(self.text)


@dataclass(frozen=True, slots=True)
class SizeWord(Node):
    """`18x18`, `200x200x3`."""

    text: str

    @property
    def extents(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.text.split("x"))


@dataclass(frozen=True, slots=True)
class String(Node):
    """`"videos/*.mp4"`, unescaped."""

    value: str


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """`true`, `false` or `none`."""

    value: bool | None


@dataclass(frozen=True, slots=True)
class Part(Node):
    """`V1`, `area[index - 1]`: a part of a path, with the number of the item if it names a family."""

    name: str
    index: Expr | None = None


@dataclass(frozen=True, slots=True)
class Path(Node):
    """`field`, `V1.pool`, `area[3].norm`, `image.width`: resolved where it is used."""

    parts: tuple[Part, ...]

    @property
    def bare(self) -> str | None:
        """The name, of a path that is nothing else."""
        only = self.parts[0]
        return only.name if len(self.parts) == 1 and only.index is None else None


@dataclass(frozen=True, slots=True)
class Negative(Node):
    """`-operand`."""

    operand: Expr


@dataclass(frozen=True, slots=True)
class Chain(Node):
    """Operators of one precedence, left to right: `first + a - b`, `first * a // b`.

    Flat, so that a sum of a hundred thousand terms is no deeper than a sum of two.
    """

    first: Expr
    rest: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class Group(Node):
    """`(inner)`, kept because `lnetc fmt` keeps it."""

    inner: Expr


@dataclass(frozen=True, slots=True)
class List(Node):
    """`[a, b]`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`size(3, 4)`, `tile(2)`, `adagrad(rate = 0.01)`."""

    name: Name
    arguments: tuple[Argument, ...]


Expr = Number | SizeWord | String | Constant | Path | Negative | Chain | Group | List | Call

# --- declarations ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A name with its place."""

    text: str


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """`value` or `name = value`."""

    name: Name | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Item(Node):
    """`NAME: KIND(ARGUMENTS)`: a layer, an objective or an instance of a stage; `NAME[count]: ...` so many of them."""

    name: Name
    kind: Name
    arguments: tuple[Argument, ...]
    count: Expr | None = None


@dataclass(frozen=True, slots=True)
class Broken(Node):
    """Source text with a reported syntax error; `name` is the name it would have defined, if known."""

    name: str | None


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """`name` or `name = default` in the head of a stage."""

    name: Name
    default: Expr | None


@dataclass(frozen=True, slots=True)
class Let(Node):
    """`let NAME = VALUE`."""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class Stage(Node):
    """`stage NAME(PARAMETERS) { ITEMS }`."""

    name: Name
    parameters: tuple[Parameter, ...]
    items: tuple[Item | Broken, ...]


@dataclass(frozen=True, slots=True)
class Network(Node):
    """`network NAME { ITEMS }`."""

    name: Name
    items: tuple[Item | Broken, ...]


@dataclass(frozen=True, slots=True)
class Setting(Node):
    """`KEY = VALUE` in `train`."""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class Train(Node):
    """`train { SETTINGS }`."""

    settings: tuple[Setting | Broken, ...]


@dataclass(frozen=True, slots=True)
class Include(Node):
    """`include "stages.lnet"`: the stages and constants of another file."""

    path: String


Declaration = Let | Stage | Network | Train | Include | Broken


@dataclass(frozen=True, slots=True)
class Comment(Node):
    """`# text`; `trailing` if code stands before it on its line."""

    text: str
    trailing: bool


@dataclass(frozen=True, slots=True)
class Module:
    """A whole file."""

    version: Number | None
    declarations: tuple[Declaration, ...]
    comments: tuple[Comment, ...] = field(default=(), compare=False)


T = TypeVar("T")


def respanned(node: T, change: Callable[[Span], Span]) -> T:
    """Return a syntax tree, or a tuple of them, with every span changed."""
    if isinstance(node, tuple):
        return tuple(respanned(item, change) for item in node)  # type: ignore[return-value]
    if not isinstance(node, Node):
        return node
    changes: dict[str, Any] = {
        f.name: respanned(getattr(node, f.name), change) for f in fields(node) if f.name != "span"
    }
    return replace(node, span=change(node.span), **changes)
