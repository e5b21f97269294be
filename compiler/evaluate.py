"""Expressions to values, and the arguments of a call to those of a Python callable.

Every function reports what is wrong to the collector and answers `UNKNOWN`; what is made from an unknown value
is unknown and stays silent, so that one mistake gives one diagnostic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lnet.dsl import nodes
from lnet.dsl.diagnostics import Collector, Diagnostic, did_you_mean
from lnet.dsl.source import Span

from .arguments import (
    NONE,
    Argument,
    ArgumentType,
    Context,
    LayerArgument,
    Mismatch,
    Refused,
    Signature,
    signature,
)
from .layer import Layer
from .ops import Local, Pool
from .scope import Entry, Instance, Scope, layer_of, members
from .settings import CALLS
from .shapes import Sheet
from .values import UNKNOWN, Extents, Unknown, Value, Word, describe

ATTRIBUTES = ("height", "width", "maps")
WORDS = frozenset(
    ("valid", "same", "relu", "tanh", "sigmoid", "softplus", "all", "joint", "stage", "float32", "bfloat16")
    + ("random", "center", "resize", "image", "folder", "constant", "cosine")
)
LIMIT = 2**63

ANY = ArgumentType("a value", lambda value: NONE if value is None else value)
"""The type of a stage's parameter and of a `let`."""


@dataclass(slots=True)
class Evaluator:
    """Evaluates expressions and calls over one source."""

    collector: Collector
    input: Sheet | Unknown = UNKNOWN

    def report(self, code: str, message: str, span: Span, **details: Any) -> Unknown:
        self.collector.add(Diagnostic(code, message, span, **details))
        return UNKNOWN

    # --- expressions -------------------------------------------------------------------------------------

    def value(self, expr: nodes.Expr, scope: Scope, words: Iterable[str] = ()) -> Value:
        """Return what an expression is worth."""
        match expr:
            case nodes.Number():
                return expr.value
            case nodes.SizeWord():
                return Extents(expr.extents)
            case nodes.String(value=value) | nodes.Constant(value=value):
                return value
            case nodes.Group(inner=inner):
                return self.value(inner, scope, words)
            case nodes.Path():
                return self._name(expr, scope, words)
            case nodes.Negative(operand=operand):
                return self._combine("-", 0, self.value(operand, scope), expr.span)
            case nodes.Chain():
                return self._chain(expr, scope)
            case nodes.List(items=items):
                return tuple(self.value(item, scope) for item in items)
            case nodes.Call():
                return self._call(expr, scope)

    def _name(self, path: nodes.Path, scope: Scope, words: Iterable[str]) -> Value:
        if len(path.parts) > 1:
            return self._attribute(path, scope)
        (name,) = path.parts
        if name in words:
            return Word(name)
        if name in scope.values:
            return scope.values[name]
        if name in scope.items or name in scope.pending:
            return self.report(
                "E305",
                f"expected a value, found the item '{name}'",
                path.span,
                hints=(f"its extents are '{name}.height', '{name}.width' and '{name}.maps'",),
            )
        if name in WORDS:
            return Word(name)
        return self.report(
            "E201",
            f"there is no parameter or 'let' named '{name}' here",
            path.span,
            hints=did_you_mean(name, [*scope.values, *words]),
        )

    def _attribute(self, path: nodes.Path, scope: Scope) -> Value:
        if path.parts[-1] not in ATTRIBUTES:
            return self.report(
                "E305",
                f"expected a value, found '{path.text}'",
                path.span,
                notes=("of a layer, 'height', 'width' and 'maps' can be read",),
                hints=did_you_mean(path.parts[-1], ATTRIBUTES),
            )
        layer = self.layer(nodes.Path(path.span, path.parts[:-1]), scope)
        return UNKNOWN if isinstance(layer, Unknown) else getattr(layer.sheet, path.parts[-1])

    def _chain(self, chain: nodes.Chain, scope: Scope) -> Value:
        result = self.value(chain.first, scope)
        span = chain.first.span
        for operator, operand in chain.rest:
            span = span.to(operand.span)
            result = self._combine(operator, result, self.value(operand, scope), span)
        return result

    def _combine(self, operator: str, left: Value, right: Value, span: Span) -> Value:
        if isinstance(left, Unknown) or isinstance(right, Unknown):
            return UNKNOWN
        for side in (left, right):
            if isinstance(side, bool) or not isinstance(side, int | float | Extents):
                return self.report(
                    "E305", f"'{operator}' needs numbers or sizes, found {describe(side)}", span
                )
        try:
            return _elementwise(operator, left, right)
        except ZeroDivisionError:
            return self.report("E307", "division by zero", span)
        except _Unfit as error:
            return self.report("E308", str(error), span)

    # --- layers ------------------------------------------------------------------------------------------

    def layer(self, path: nodes.Path, scope: Scope) -> Layer | Unknown:
        """Return the layer that a path names, backwards only."""
        items: Mapping[str, Entry] = scope.items
        entry: Entry = UNKNOWN
        for depth, part in enumerate(path.parts):
            if part not in items:
                return self._no_layer(path, depth, items, scope)
            entry = items[part]
            if isinstance(entry, Unknown):
                return UNKNOWN
            items = members(entry)
        layer = layer_of(entry)
        if layer is None:
            return self.report(
                "E305",
                f"expected a layer, found the objective '{path.text}'",
                path.span,
                notes=("an objective is no layer: it has no value that can be read",),
            )
        return layer

    def _no_layer(self, path: nodes.Path, depth: int, items: Mapping[str, Entry], scope: Scope) -> Unknown:
        part = path.parts[depth]
        if depth == 0 and part in scope.pending:
            return self.report(
                "E205",
                f"'{part}' stands further down: a layer reads only what stands above it",
                path.span,
                related=((scope.pending[part].span, "declared here"),),
            )
        if depth == 0:
            hints = did_you_mean(part, items)
            return self.report("E203", f"there is no layer named '{part}' above", path.span, hints=hints)
        owner = ".".join(path.parts[:depth])
        return self.report(
            "E203", f"'{owner}' has no layer named '{part}'", path.span, hints=did_you_mean(part, items)
        )

    # --- calls -------------------------------------------------------------------------------------------

    def _call(self, call: nodes.Call, scope: Scope) -> Value:
        function = CALLS.get(call.name.text)
        if function is None:
            return self.report(
                "E202",
                f"there is nothing named '{call.name.text}' that can be called in a value",
                call.name.span,
                hints=did_you_mean(call.name.text, CALLS),
            )
        table = signature(call.name.text, function)
        return self.invoke(function, table, call.arguments, call.name.span, scope)

    def invoke(
        self,
        function: Callable[..., Any],
        table: Signature,
        arguments: tuple[nodes.Argument, ...],
        span: Span,
        scope: Scope,
    ) -> Any:
        """Call a Python callable with the arguments of a call in the file."""
        given = self.match(table, arguments, span)
        bound = self.bind(table, given, span, scope)
        if isinstance(bound, Unknown):
            return UNKNOWN
        return self.apply(function, bound, given, span)

    def apply(
        self,
        function: Callable[..., Any],
        bound: dict[str, Any],
        given: Mapping[str, nodes.Argument],
        span: Span,
    ) -> Any:
        try:
            return function(**bound)
        except Refused as refused:
            argument = given.get(refused.argument)
            return self.report(
                refused.code,
                refused.message,
                argument.value.span if argument else span,
                label=refused.label,
                notes=refused.notes,
                hints=refused.hints,
            )

    def match(
        self, table: Signature, arguments: tuple[nodes.Argument, ...], span: Span
    ) -> dict[str, nodes.Argument]:
        """Return the arguments of a call by name; what fits nowhere is reported."""
        given: dict[str, nodes.Argument] = {}
        names = [row.name for row in table.given]
        rows = iter(table.positional)
        for argument in arguments:
            if argument.name is None:
                name = self._positional(table, rows, argument, given)
            else:
                name = argument.name.text
                if name not in names:
                    self._unknown_argument(table, argument.name, names)
                    continue
            if name is None:
                continue
            if name in given:
                self.report(
                    "E302",
                    f"'{name}' is given twice to '{table.name}'",
                    argument.span,
                    related=((given[name].span, "given here first"),),
                )
            else:
                given[name] = argument
        return given

    def _positional(
        self, table: Signature, rows: Any, argument: nodes.Argument, given: dict[str, nodes.Argument]
    ) -> str | None:
        if any(a.name is not None for a in given.values()):
            self.report(
                "E311",
                "an argument without a name stands behind one with a name",
                argument.span,
                hints=("positional arguments come first: give this one its name",),
            )
            return None
        row = next(rows, None)
        if row is None:
            count = len(table.positional)
            self.report(
                "E304",
                f"'{table.name}' takes {_count(count, 'positional argument')}, found one more",
                argument.span,
                notes=(f"its arguments are {table}",),
            )
            return None
        return str(row.name)

    def _unknown_argument(self, table: Signature, name: nodes.Name, names: list[str]) -> None:
        code, what = ("E510", "setting") if table.name == "train" else ("E301", "argument")
        self.report(
            code,
            f"'{table.name}' has no {what} '{name.text}'",
            name.span,
            notes=(f"its {what}s are {', '.join(names)}" if names else f"it takes no {what}s",),
            hints=did_you_mean(name.text, names),
        )

    def bind(
        self, table: Signature, given: Mapping[str, nodes.Argument], span: Span, scope: Scope
    ) -> dict[str, Any] | Unknown:
        """Return the values of all arguments, defaults of layers included; UNKNOWN if one of them is."""
        bound: dict[str, Any] = {}
        for row in table.arguments:
            if row.name in given:
                bound[row.name] = self.convert(row, given[row.name].value, scope, table.name)
            elif isinstance(row.type, Context):
                bound[row.name] = getattr(self, row.type.name)
            elif isinstance(row.type, LayerArgument) and row.type.default is not None:
                bound[row.name] = self._default_layer(row, bound, span, scope, table.name)
            elif row.required:
                bound[row.name] = self.report(
                    "E303",
                    f"'{table.name}' needs '{row.name}', {row.type.expected}",
                    span,
                    notes=(f"its arguments are {table}",),
                )
        return UNKNOWN if any(_is_unknown(value) for value in bound.values()) else bound

    def convert(self, row: Argument, expr: nodes.Expr, scope: Scope, owner: str) -> Any:
        """Return an expression as a value of an argument's type."""
        if isinstance(row.type, LayerArgument):
            return self._layers(row.type, expr, scope, f"'{row.name}' of '{owner}'")
        assert isinstance(row.type, ArgumentType), "Context parameters cannot be given"
        value = self.value(expr, scope, row.type.words)
        if _is_unknown(value):
            return UNKNOWN
        try:
            converted = row.type.convert(value)
        except Mismatch as mismatch:
            code, found = "E306", str(mismatch)
        else:
            if converted is not None:
                return None if converted is NONE else converted
            code, found = "E305", f"found {describe(value)}"
        message = f"'{row.name}' of '{owner}' must be {row.type.expected}, {found}"
        hints = did_you_mean(value.text, row.type.words) if isinstance(value, Word) else ()
        return self.report(code, message, expr.span, hints=hints)

    def _layers(self, kind: LayerArgument, expr: nodes.Expr, scope: Scope, what: str) -> Any:
        if not kind.many:
            if isinstance(expr, nodes.Path):
                return self.layer(expr, scope)
            return self.report("E305", f"{what} must be a layer, such as 'filter' or 'V1.pool'", expr.span)
        if not isinstance(expr, nodes.List) or not expr.items:
            return self.report("E305", f"{what} must be a list of layers, such as '[left, right]'", expr.span)
        single = LayerArgument()
        layers = [self._layers(single, item, scope, what) for item in expr.items]
        return UNKNOWN if any(_is_unknown(layer) for layer in layers) else layers

    def _default_layer(
        self, row: Argument, bound: Mapping[str, Any], span: Span, scope: Scope, owner: str
    ) -> Layer | Unknown:
        assert isinstance(row.type, LayerArgument)
        layer = _find_default(row.type.default, bound, scope)
        if layer is not None:
            return layer
        missing = {
            "nearest local": "a 'local' layer above it in its block",
            "nearest pool": "a pool above it that is made from its 'encode'",
        }[row.type.default or "above"]
        return self.report(
            "E501",
            f"'{owner}' needs {missing}, and there is none",
            span,
            hints=(f"name one with '{row.name}'",),
        )


def _find_default(default: str | None, bound: Mapping[str, Any], scope: Scope) -> Layer | Unknown | None:
    """Return the layer that is meant where none is named; None if there is no such layer."""
    if default == "above":
        return scope.above
    if default == "of":
        return bound["of"]  # type: ignore[no-any-return]
    for entry in reversed(list(scope.items.values())):
        if isinstance(entry, Unknown):
            return UNKNOWN  # it might have been the one
        if not isinstance(entry, Layer):
            continue
        if default == "nearest local" and isinstance(entry.op, Local):
            return entry
        if (
            default == "nearest pool"
            and isinstance(entry.op, Pool)
            and _made_from(entry, bound["encode"], scope)
        ):
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


def _is_unknown(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(_is_unknown(item) for item in value)
    return isinstance(value, Unknown)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# --- arithmetic ------------------------------------------------------------------------------------------


class _Unfit(Exception):
    """An operation whose result is no value of the language."""


def _elementwise(operator: str, left: Any, right: Any) -> Value:
    if not isinstance(left, Extents) and not isinstance(right, Extents):
        return _checked(_ARITHMETIC[operator](left, right))
    count = len((left if isinstance(left, Extents) else right).parts)
    lefts = left.parts if isinstance(left, Extents) else (left,) * count
    rights = right.parts if isinstance(right, Extents) else (right,) * count
    if len(lefts) != len(rights):
        raise _Unfit(f"the sizes {left} and {right} have different numbers of extents")
    parts = [_ARITHMETIC[operator](a, b) for a, b in zip(lefts, rights, strict=True)]
    for part in parts:
        if not 1 <= part < LIMIT or part != math.floor(part):
            raise _Unfit(f"a size has positive integers, and {left} {operator} {right} gives {part:g}")
    return Extents(tuple(int(part) for part in parts))


def _checked(number: int | float) -> int | float:
    if not -LIMIT < number < LIMIT:
        raise _Unfit("the number is out of range: a value stays below 2^63")
    return number


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
}

__all__ = ["ANY", "ATTRIBUTES", "Evaluator", "Instance"]
