"""Argument types, and signatures made of them.

Whatever the language calls - a layer kind, an objective, an update rule, `train` itself - is a Python callable
whose annotated signature *is* the argument table: names, positional order, types and defaults. Parameters
behind `*` can only be given by name.

    def avgpool(field: Extent, stride: Extent = ONE, pad: Pad = Padding(), *, of: Reads) -> Pool

`Extent` stands for `Annotated[Size, ArgumentType(...)]`: the type that the callable receives, and the conversion
from a value of the language.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from keyword import iskeyword
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from .layer import Layer, Op
from .shapes import Size
from .values import Extents, Value, Word, Written


class Mismatch(Exception):
    """A value of the right type that is out of range; the sentence says what was found."""


@dataclass(frozen=True, slots=True, eq=False)
class ArgumentType:
    """The conversion of a language value to an argument; `convert` returns None for a value of another type.

    `words` are the bare names that it accepts, `calls` the functions that make such a value, or the items of a list: one
    without required arguments may stand bare, too. `items`: the type of these items. `optional`: `none` is accepted, and is
    None to the callable; `convert` does not see it. `wanted` says what is accepted, with `{calls}` where the functions are
    listed, `{words}` where words and functions are.
    """

    wanted: str
    convert: Callable[[Value], Any]
    words: tuple[str, ...] = ()
    calls: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    items: ArgumentType | None = None
    optional: bool = False

    @property
    def expected(self) -> str:
        made = self if self.items is None else self.items
        calls = [f"'{name}'" if made.takes_bare(name) else f"{name}(...)" for name in made.calls]
        words = [f"'{word}'" for word in self.words if word != "none"]
        words += [*calls, *(["'none'"] if "none" in self.words else [])]
        return self.wanted.replace("{calls}", listed(calls, "or")).replace("{words}", listed(words, "or"))

    def takes_bare(self, name: str) -> bool:
        """Whether a name is that of a function which may stand without parentheses."""
        return name in self.calls and stands_bare(name, self.calls[name])


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest layer above in its block whose op is of a type; `made_from`: that is made from what an argument names.

    `expected` is what a message says is needed.
    """

    op: type[Op]
    expected: str
    made_from: str = ""

    def is_found(self, layer: Layer) -> bool:
        """Whether a layer is one of those."""
        return isinstance(layer.op, self.op)


@dataclass(frozen=True, slots=True)
class LayerArgument:
    """An argument that names layers; where it is left out, `default` says which one is meant.

    `targets`: it may also name a target, whose values come with the images.
    """

    default: str | Nearest | None = None  # "above", an argument before it such as "of", None: required
    many: bool = False
    targets: bool = False
    contents: bool = False  # one or many, and of a stage instance all layers with weights in it

    @property
    def expected(self) -> str:
        if self.contents:
            return "a layer, a stage instance or a list of these"
        if self.targets:
            return "a layer, or values of the data: an item 'NAME: target(SIZE)'"
        return "a list of layers" if self.many else "a layer"


@dataclass(frozen=True, slots=True)
class Context:
    """A parameter that no file can give: the compiler fills it in, or a run one that has a default."""

    name: str


class Refused(Exception):
    """An argument that is well typed but makes no sense where it stands."""

    def __init__(
        self,
        code: str,
        message: str,
        argument: str = "",
        label: str = "",
        notes: tuple[str, ...] = (),
        hints: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.argument = code, message, argument
        self.label, self.notes, self.hints = label, notes, hints


# --- values that only arguments have -------------------------------------------------------------------

_LARGEST = 2**40
ONE = Size(1, 1)
NO_ZEROS = Size(0, 0)


@dataclass(frozen=True, slots=True)
class Padding:
    """`pad` as written: `valid`, `same`, or how many zeros stand on each side."""

    word: str = "valid"
    zeros: Size = NO_ZEROS


UNPADDED = Padding()


@dataclass(frozen=True, slots=True)
class Sharing:
    """`share` as written: which positions use one set of weights.

    Those `tile` apart, or those of a `block`; of both None: every position has its own.
    """

    tile: Size | None = None
    block: Size | None = None


@dataclass(frozen=True, slots=True)
class Maps:
    """`maps` as written: how many, and the patch in which they lie at each position, if `8x8` says so."""

    count: int
    patch: Size | None = None


# --- conversions -----------------------------------------------------------------------------------------


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(value: Value) -> int | None:
    """Accept `4` and `4 / 2`, refuse `5 / 2`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value != math.floor(value):
        raise Mismatch(f"found the number {value:g}, which is not an integer")
    return int(value)


def _integer_from(low: int, high: int) -> Callable[[Value], int | None]:
    def convert(value: Value) -> int | None:
        number = _integer(value)
        if number is not None and not low <= number <= high:
            raise Mismatch(f"found {number}")
        return number

    return convert


def _number_from(
    low: float, high: float = math.inf, *, above: bool = False, below: bool = False
) -> Callable[[Value], float | None]:
    def convert(value: Value) -> float | None:
        number = _number(value)
        outside = (above and number == low) or (below and number == high)
        if number is not None and (not low <= number <= high or outside):
            raise Mismatch(f"found {number:g}")
        return number

    return convert


def size_from(low: int) -> Callable[[Value], Size | None]:
    """Return the conversion to a size whose numbers are at least `low`; an integer stands for both."""

    def convert(value: Value) -> Size | None:
        if isinstance(value, Extents):
            if len(value.parts) != 2:
                raise Mismatch(f"found {value}, a size of {len(value.parts)} numbers")
            if min(value.parts) < low:
                raise Mismatch(f"found {value}")
            return value.size
        number = _integer_from(low, _LARGEST)(value)
        return None if number is None else Size(number, number)

    return convert


def _extent3(value: Value) -> Extents | None:
    if not isinstance(value, Extents) or len(value.parts) != 3:
        return None
    if min(value.parts) < 1:
        raise Mismatch(f"found {value}")
    return value


def _target_extent(value: Value) -> Extents | None:
    """Accept three numbers, or the length of a vector."""
    if isinstance(value, Extents):
        return _extent3(value)
    length = _integer_from(1, _LARGEST)(value)
    return None if length is None else Extents((1, 1, length))


def _path_of(value: Value) -> str | None:
    """Accept a text as a path, which is relative to the file in which the text stands."""
    if value == "":
        raise Mismatch("found an empty one")
    if isinstance(value, Written):
        return os.path.join(value.folder, value)
    return value if isinstance(value, str) else None


def _pad(value: Value) -> Padding | None:
    if isinstance(value, Word):
        return Padding(value.text) if value.text in ("valid", "same") else None
    zeros = size_from(0)(value)
    return None if zeros is None else Padding("valid", zeros)


def _maps(value: Value) -> Maps | None:
    size = size_from(1)(value)
    if size is None:
        return None
    if not isinstance(value, Extents):
        return Maps(size.rows)
    if size.rows * size.columns > _LARGEST:
        raise Mismatch(f"found {value}")
    return Maps(size.rows * size.columns, size)


def _word(*words: str) -> Callable[[Value], str | None]:
    def convert(value: Value) -> str | None:
        text = "none" if value is None else value.text if isinstance(value, Word) else None
        return text if text in words else None

    return convert


def one_of(*words: str) -> ArgumentType:
    return ArgumentType("{words}", _word(*words), words)


def none_or(inner: ArgumentType) -> ArgumentType:
    """Let an argument also be `none`."""
    named = "{words}" in inner.wanted
    wanted = inner.wanted if named else f"{inner.wanted} or 'none'"
    words = (*inner.words, "none") if named else inner.words
    return replace(inner, wanted=wanted, words=words, optional=True)


def names_or_none() -> ArgumentType:
    """Accept a text, a list of texts, or `none`: a tuple of texts."""

    def convert(value: Value) -> tuple[str, ...] | None:
        texts = value if isinstance(value, tuple) else () if value is None else (value,)
        return tuple(map(str, texts)) if all(isinstance(text, str) for text in texts) else None

    return ArgumentType("""a text such as "y", a list of texts or 'none'""", convert)


def made_by(wanted: str, made: type, calls: Mapping[str, Callable[..., Any]]) -> ArgumentType:
    """Accept what a call such as `adagrad(0.01)` made."""
    return ArgumentType(wanted, lambda value: value if isinstance(value, made) else None, calls=calls)


def list_of(wanted: str, item: ArgumentType) -> ArgumentType:
    """Accept a list; the callable gets a tuple of its items, each converted."""

    def convert(value: Value) -> tuple[Any, ...] | None:
        found = tuple(map(item.convert, value)) if isinstance(value, tuple) else (None,)
        return None if None in found else found

    return ArgumentType(wanted, convert, items=item)


def listed(texts: Sequence[str], last: str) -> str:
    """Return texts as a sentence lists them; `last` is the word before the last one."""
    return "".join(texts) if len(texts) < 2 else ", ".join(texts[:-1]) + f" {last} " + texts[-1]


def size(rows: Natural, columns: Natural, maps: OptionalNatural = None) -> Extents:
    return Extents((rows, columns) if maps is None else (rows, columns, maps))


def tile(k: Extent) -> Sharing:
    return Sharing(tile=k)


def blocks(k: Extent) -> Sharing:
    return Sharing(block=k)


def _share(value: Value) -> Sharing | None:
    if value is None:
        return Sharing()
    if value == Word("all"):
        return Sharing(ONE)
    return value if isinstance(value, Sharing) else None


# --- the types -------------------------------------------------------------------------------------------

_SIZE: Mapping[str, Callable[..., Any]] = {"size": size}
_extent = ArgumentType("a positive integer or a size such as 18x18", size_from(1), calls=_SIZE)
Extent = Annotated[Size, _extent]
OptionalExtent = Annotated[Size | None, _extent]
Extent3 = Annotated[Extents, ArgumentType("a size of three numbers such as 200x200x3", _extent3, calls=_SIZE)]
TargetExtent = Annotated[
    Extents,
    ArgumentType("a positive integer or a size of three numbers such as 8x8x2", _target_extent, calls=_SIZE),
]
_count = ArgumentType("a positive integer", _integer_from(1, _LARGEST))
Count = Annotated[int, _count]
OptionalCount = Annotated[int | None, none_or(_count)]
MapCount = Annotated[Maps, ArgumentType("a positive integer or a size such as 8x8", _maps)]
WHOLE = ArgumentType("an integer", _integer)
FAMILY = ArgumentType("an integer from 1 to 100,000", _integer_from(1, 100_000))
_natural = ArgumentType("a non-negative integer", _integer_from(0, _LARGEST))
Natural = Annotated[int, _natural]
OptionalNatural = Annotated[int | None, none_or(_natural)]
Seed = Annotated[int, ArgumentType("an integer from 0 to 2^63 - 1", _integer_from(0, 2**63 - 1))]
_positive = ArgumentType("a number above 0", _number_from(0.0, above=True))
Positive = Annotated[float, _positive]
OptionalPositive = Annotated[float | None, none_or(_positive)]
WEIGHT = ArgumentType("a non-negative number", _number_from(0.0))
NonNegative = Annotated[float, WEIGHT]
OptionalNonNegative = Annotated[float | None, none_or(WEIGHT)]
Fraction = Annotated[
    float, ArgumentType("a number of at least 0 and less than 1", _number_from(0.0, 1.0, below=True))
]
Momentum = Annotated[float, ArgumentType("a number from 0 to 1", _number_from(0.0, 1.0))]
Probability = Annotated[float, ArgumentType("a number from 0 to 1", _number_from(0.0, 1.0))]
AreaShare = Annotated[float, ArgumentType("a number above 0, up to 1", _number_from(0.0, 1.0, above=True))]
Ratio = Annotated[float, ArgumentType("a number from 1", _number_from(1.0))]
Turn = Annotated[float, ArgumentType("a number from 0 to 0.5", _number_from(0.0, 0.5))]
Views = Annotated[int, ArgumentType("1 or 2", _integer_from(1, 2))]
Degrees = Annotated[float, ArgumentType("a number from 0 to 180", _number_from(0.0, 180.0))]
FLAG = ArgumentType("'true' or 'false'", lambda v: v if isinstance(v, bool) else None)
Flag = Annotated[bool, FLAG]
TEXT = ArgumentType('a text such as "photos"', lambda v: str(v) if isinstance(v, str) else None)
Text = Annotated[str, TEXT]
OptionalText = Annotated[str | None, none_or(TEXT)]
_file = ArgumentType(TEXT.wanted, _path_of)
File = Annotated[str, _file]
OptionalFile = Annotated[str | None, none_or(_file)]
Pad = Annotated[
    Padding,
    ArgumentType(
        "'valid', 'same', a non-negative integer or a size such as 3x0", _pad, ("valid", "same"), _SIZE
    ),
]
Share = Annotated[
    Sharing,
    ArgumentType("'none', 'all', tile(k) or blocks(k)", _share, ("all",), {"tile": tile, "blocks": blocks}),
]

Reads = Annotated[Layer, LayerArgument("above")]
ReadsMany = Annotated[Sequence[Layer], LayerArgument(many=True)]
ContentsRead = Annotated[Sequence[Layer], LayerArgument("above", contents=True)]
TargetNamed = Annotated[Layer, LayerArgument(targets=True)]


# --- signatures ------------------------------------------------------------------------------------------

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Argument:
    """One row of an argument table."""

    name: str
    type: ArgumentType | LayerArgument | Context
    default: Any
    keyword_only: bool

    @property
    def required(self) -> bool:
        if isinstance(self.type, LayerArgument):
            return self.type.default is None
        return self.default is REQUIRED


@dataclass(frozen=True)
class Signature:
    """The argument table of something the language calls."""

    name: str
    arguments: tuple[Argument, ...]

    @cached_property
    def given(self) -> tuple[Argument, ...]:
        """The arguments that a file can give."""
        return tuple(a for a in self.arguments if not isinstance(a.type, Context))

    @cached_property
    def positional(self) -> tuple[Argument, ...]:
        return tuple(a for a in self.given if not a.keyword_only)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(a.name for a in self.given)})"


@cache
def signature(name: str, function: Callable[..., Any]) -> Signature:
    """Return the argument table that a callable's annotations spell out; `from_` is the argument `from`."""
    hints = get_type_hints(function, include_extras=True)
    return Signature(
        name,
        tuple(
            Argument(
                p.name.removesuffix("_"), get_args(hints[p.name])[1], p.default, p.kind is p.KEYWORD_ONLY
            )
            for p in inspect.signature(function).parameters.values()
        ),
    )


def in_python(argument: str) -> str:
    """Return Python's name of an argument: words that Python keeps for itself end in an underscore there."""
    return f"{argument}_" if iskeyword(argument) else argument


def stands_bare(name: str, function: Callable[..., Any]) -> bool:
    """Whether a function needs no arguments, so that `leaky_relu` is `leaky_relu()`."""
    return not any(row.required for row in signature(name, function).given)


Kind = TypeVar("Kind", bound=Callable[..., Any])


def since(version: int) -> Callable[[Kind], Kind]:
    """State the version of the language that a kind came with; one without a statement is of version 1."""

    def stated(kind: Kind) -> Kind:
        kind.since = version  # type: ignore[attr-defined]
        return kind

    return stated


def version_of(kind: Callable[..., Any]) -> int:
    """Return the version of the language that a kind came with."""
    return int(vars(kind).get("since", 1))
