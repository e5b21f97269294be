"""Expressions to values, and the arguments of a call to those of a Python callable.

Every function reports mistakes to the collector and returns `UNKNOWN`; a value made from an unknown one is unknown,
too, and nothing more is reported: one mistake gives one diagnostic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lnet.compiler.core.arguments import (
    WHOLE,
    Argument,
    ArgumentType,
    Context,
    LayerArgument,
    Mismatch,
    Nearest,
    Refused,
    Signature,
    in_python,
    signature,
)
from lnet.compiler.core.layer import Layer
from lnet.compiler.core.shapes import Sheet
from lnet.compiler.core.values import UNKNOWN, Extents, Unknown, Value, Word, describe
from lnet.compiler.words import CONSTANTS, Vocabulary, vocabulary
from lnet.dsl import nodes
from lnet.dsl.printer import expression_text
from lnet.dsl.source import Span

from .arithmetic import Unfit, elementwise
from .hints import attribute_hints, call_hints, mismatch_hints, value_hints
from .matching import match
from .places import behind_a_division, text_of
from .references import no_index, no_item, no_layer, no_patch, no_single, no_value
from .reporting import Reporter, must_be
from .scope import Entry, Family, Instance, Made, Scope, find_default, layer_of, layers_in, members

ATTRIBUTES = ("height", "width", "maps", "patch")

ANY = ArgumentType("a value", lambda value: value, optional=True)
"""The type of a stage's parameter and of a `let`."""


@dataclass(slots=True)
class Evaluator(Reporter):
    """Evaluates expressions and calls over one source. `input`: the extents of the network's input, once they are known."""

    input: Sheet | Unknown = UNKNOWN
    known: Vocabulary = field(default_factory=vocabulary)
    made: Made = field(default_factory=Made)

    # --- expressions -------------------------------------------------------------------------------------

    def value(self, expr: nodes.Expr, scope: Scope, wanted: ArgumentType = ANY) -> Value:
        """Evaluate an expression; words of the `wanted` type come before parameters and constants."""
        match expr:
            case nodes.Number():
                return expr.value
            case nodes.SizeWord():
                return Extents(expr.extents)
            case nodes.String():
                return text_of(self.collector.source, expr)
            case nodes.Constant(value=value):
                return value
            case nodes.Group(inner=inner):
                return self.value(inner, scope, wanted)
            case nodes.Path():
                return self._name(expr, scope, wanted)
            case nodes.Negative(operand=operand):
                return self._combine("-", 0, self.value(operand, scope), expr.span)
            case nodes.Chain():
                return self._chain(expr, scope)
            case nodes.List(items=items):
                return tuple(self.value(item, scope, wanted.items or ANY) for item in items)
            case nodes.Call():
                return self._call(expr, scope, wanted)

    def _name(self, path: nodes.Path, scope: Scope, wanted: ArgumentType) -> Value:
        name = path.bare
        if name is None:
            return self._attribute(path, scope)
        if name in wanted.words:
            return Word(name)
        if wanted.takes_bare(name):
            return self._called_bare(path, wanted.calls[name], scope)
        if name in scope.values:
            return scope.values[name]
        is_item = name in scope.items or name in scope.pending
        if name == "index" and scope.index is not None and not is_item:
            return scope.index
        if wanted is ANY or not is_item:
            if name in self.known.words:
                return Word(name)
            if self.known.takes_bare(name):
                return self._called_bare(path, self.known.calls[name], scope)
        if is_item:
            return self.report(
                "E305",
                f"expected a value, found the item '{name}'",
                path.span,
                hints=(no_value(name, scope.items.get(name)),),
            )
        calls = self.known.calls if wanted is ANY else wanted.calls
        return self.report(
            "E201",
            f"there is no {'word, ' if wanted.words else ''}parameter or 'let' named '{name}' here",
            path.span,
            hints=self._comment_hint(path)
            or value_hints(name, [*scope.values, *self._words_of(wanted)], calls),
        )

    def _called_bare(self, path: nodes.Path, function: Callable[..., Any], scope: Scope) -> Value:
        """Return the value of a function that stands without parentheses: all its arguments have defaults."""
        return self.invoke(function, signature(expression_text(path), function), (), path.span, scope)

    def _words_of(self, wanted: ArgumentType) -> Iterable[str]:
        """Return the words, functions and constants that an argument takes."""
        if wanted is ANY:
            return (*self.known.words, *self.known.calls, *CONSTANTS)
        constants = (word for word in CONSTANTS if f"'{word}'" in wanted.expected)
        return (*wanted.words, *wanted.calls, *constants)

    def _comment_hint(self, path: nodes.Path) -> tuple[str, ...]:
        """Return a hint on an `index` outside of a family, and where `//` was meant as a comment, as in other languages."""
        if path.bare == "index":
            return (no_index(),)
        if behind_a_division(self.collector.source, path.span):
            return ("'//' divides and rounds down: a comment begins with '#'",)
        return ()

    def _attribute(self, path: nodes.Path, scope: Scope) -> Value:
        attribute = path.parts[-1]
        if attribute.index is not None or attribute.name not in ATTRIBUTES:
            return self.report(
                "E305",
                f"expected a value, found '{expression_text(path)}'",
                path.span,
                notes=("a layer has the values 'height', 'width', 'maps' and 'patch'",),
                hints=attribute_hints(attribute.name, ATTRIBUTES),
            )
        layer = self.layer(nodes.Path(path.span, path.parts[:-1]), scope)
        if isinstance(layer, Unknown):
            return UNKNOWN
        return self._patch(path, layer) if attribute.name == "patch" else getattr(layer.sheet, attribute.name)

    def _patch(self, path: nodes.Path, layer: Layer) -> Value:
        if layer.patch is not None:
            return Extents((layer.patch.rows, layer.patch.columns))
        return self.add(no_patch(layer, path.span))

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
            return elementwise(operator, left, right)
        except ZeroDivisionError:
            return self.report("E307", "division by zero", span)
        except Unfit as error:
            return self.report("E308", str(error), span)

    # --- layers ------------------------------------------------------------------------------------------

    def layer(self, path: nodes.Path, scope: Scope) -> Layer | Unknown:
        """Return the layer that a path names, backwards only."""
        entry, name = self._entry(path, scope)
        if isinstance(entry, Family):
            return self.add(no_single(name, entry, path.span))
        return self._as_layer(entry, name, path.span)

    def _inside(self, kind: LayerArgument, entry: Entry, name: str, span: Span) -> list[Layer | Unknown]:
        """Return the layer that an item is, or those with weights in a stage instance if its contents are meant."""
        if kind.contents and isinstance(entry, Instance):
            return [layer for layer in layers_in(entry.items.values()) if layer.has_weights]
        return [self._as_layer(entry, name, span)]

    def _as_layer(self, entry: Entry, name: str, span: Span) -> Layer | Unknown:
        layer = layer_of(entry)
        if layer is None:
            return self.report(
                "E305",
                f"expected a layer, found the objective '{name}'",
                span,
                notes=("an objective is not a layer: no layer can read it",),
            )
        return layer

    def _entry(self, path: nodes.Path, scope: Scope) -> tuple[Entry, str]:
        """Return the item that a path names, and the path with its indices as numbers."""
        items: Mapping[str, Entry] = scope.items
        entry: Entry = UNKNOWN
        walked = ""
        for depth, part in enumerate(path.parts):
            if isinstance(entry, Family):
                return self.add(no_single(walked, entry, path.span)), walked
            if part.name not in items:
                return self.add(no_layer(path, depth, walked, items, scope)), walked
            entry, walked = items[part.name], f"{walked}.{part.name}" if walked else part.name
            if part.index is not None and not isinstance(entry, Unknown):
                number = self.converted(WHOLE, part.index, scope, f"the index of '{walked}'")
                entry = self._item(entry, number, walked, part.span)
                walked = f"{walked}[{number}]"
            if isinstance(entry, Unknown):
                return UNKNOWN, walked
            items = members(entry)
        return entry, walked

    def _item(self, entry: Entry, number: int | Unknown, name: str, span: Span) -> Entry:
        if isinstance(number, Unknown):
            return UNKNOWN
        if isinstance(entry, Family) and 0 <= number < len(entry.entries):
            return entry.entries[number]
        return self.add(no_item(name, entry, number, span))

    # --- calls -------------------------------------------------------------------------------------------

    def _call(self, call: nodes.Call, scope: Scope, wanted: ArgumentType) -> Value:
        name = call.name.text
        function = wanted.calls.get(name) or self.known.calls.get(name)
        if function is None:
            calls = list(self.known.calls)
            return self.report(
                "E202",
                f"there is nothing named '{name}' that can be called in a value",
                call.name.span,
                notes=() if self.wanted else (f"what can be called is {', '.join(calls)}",),
                hints=call_hints(name, calls),
            )
        return self.invoke(function, signature(name, function), call.arguments, call.name.span, scope)

    def invoke(
        self,
        function: Callable[..., Any],
        table: Signature,
        arguments: tuple[nodes.Argument, ...],
        span: Span,
        scope: Scope,
    ) -> Any:
        """Call a Python callable with the arguments of a call in the file."""
        with self.noting(wanted=None):
            given = self.match(table, arguments)
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
            return function(**{in_python(name): value for name, value in bound.items()})
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

    def match(self, table: Signature, arguments: tuple[nodes.Argument, ...]) -> dict[str, nodes.Argument]:
        """Bind the arguments of a call to names; report those that fit nowhere."""
        return match(table, arguments, self.report)

    def bind(
        self, table: Signature, given: Mapping[str, nodes.Argument], span: Span, scope: Scope
    ) -> dict[str, Any] | Unknown:
        """Return the values of all arguments, defaults of layers included; UNKNOWN if one of them is."""
        bound: dict[str, Any] = {}
        for row in table.arguments:
            if row.name in given:
                bound[row.name] = self.convert(row, given[row.name].value, scope, table.name)
            elif isinstance(row.type, Context):
                if row.required:
                    bound[row.name] = getattr(self, row.type.name)
            elif isinstance(row.type, LayerArgument) and row.type.default is not None:
                bound[row.name] = self._default_layer(row, bound, span, scope, table.name)
            elif row.required:
                bound[row.name] = self.report(
                    "E303",
                    f"'{table.name}' needs '{row.name}', {row.type.expected}",
                    span,
                    notes=(f"its arguments: {table}",),
                )
        return UNKNOWN if any(_is_unknown(value) for value in bound.values()) else bound

    def convert(self, row: Argument, expr: nodes.Expr, scope: Scope, owner: str) -> Any:
        """Return an expression as a value of an argument's type."""
        if isinstance(row.type, LayerArgument):
            return self._layers(row.type, expr, scope, f"'{row.name}' of '{owner}'")
        assert isinstance(row.type, ArgumentType), "Context parameters cannot be given"
        return self.converted(row.type, expr, scope, f"'{row.name}' of '{owner}'")

    def converted(self, wanted: ArgumentType, expr: nodes.Expr, scope: Scope, what: str) -> Any:
        """Return an expression as a value of a type; `what` it is that must be one, in messages."""
        if isinstance(expr, nodes.Number):
            value: Value = expr.value
        else:
            with self.noting(wanted=None if wanted is ANY else (what, wanted)):
                value = self.value(expr, scope, wanted)
        if _is_unknown(value):
            return UNKNOWN
        if value is None and wanted.optional:
            return None
        try:
            converted = wanted.convert(value)
        except Mismatch as mismatch:
            code, found = "E306", str(mismatch)
        else:
            if converted is not None:
                return converted
            code, found = "E305", f"found {_found(expr, value)}"
        return self.report(
            code,
            f"{must_be(what, wanted)}, {found}",
            expr.span,
            hints=mismatch_hints(value, wanted, self._words_of(wanted)),
        )

    def _layers(self, kind: LayerArgument, expr: nodes.Expr, scope: Scope, what: str) -> Any:
        """Return the layer that an argument names, or the list of all if it takes several."""
        if not (kind.many or kind.contents):
            return self._single(kind, expr, scope, what)
        if isinstance(expr, nodes.List) and expr.items:
            found = [layer for item in expr.items for layer in self._of_item(kind, item, scope, what)]
        else:
            named = self._several(kind, expr, scope)
            if named is None:
                return self.report(
                    "E305", f"{what} must be {kind.expected}, such as '[left, right]'", expr.span
                )
            found = named
        return UNKNOWN if any(map(_is_unknown, found)) else found

    def _of_item(
        self, kind: LayerArgument, item: nodes.Expr, scope: Scope, what: str
    ) -> list[Layer | Unknown]:
        several = self._several(kind, item, scope)
        return [self._single(LayerArgument(), item, scope, what)] if several is None else several

    def _several(self, kind: LayerArgument, expr: nodes.Expr, scope: Scope) -> list[Layer | Unknown] | None:
        """Return the layers that a path names where it may name several; None where it names one alone, or is no path."""
        if not isinstance(expr, nodes.Path):
            return None
        entry, name = self._entry(expr, scope)
        match entry:
            case Unknown():
                return [UNKNOWN]
            case Family(count, items) if len(items) < count:
                return [self.add(no_item(name, entry, len(items), expr.span))]
            case Family(_, items):
                named = [(each, f"{name}[{number}]") for number, each in enumerate(items)]
            case _ if kind.contents:
                named = [(entry, name)]
            case _:
                return None
        return [layer for each, path in named for layer in self._inside(kind, each, path, expr.span)]

    def _single(self, kind: LayerArgument, expr: nodes.Expr, scope: Scope, what: str) -> Layer | Unknown:
        if not isinstance(expr, nodes.Path):
            return self.report("E305", f"{what} must be a layer, such as 'filter' or 'V1.pool'", expr.span)
        with self.noting(wanted=(what, kind) if kind.targets else None):
            return self._readable(self.layer(expr, scope), kind, expr)

    def _readable(self, layer: Layer | Unknown, kind: LayerArgument, expr: nodes.Path) -> Layer | Unknown:
        """Return a layer that an argument may name; report a target where none is read."""
        if isinstance(layer, Unknown) or kind.targets or not layer.op.is_target:
            return layer
        return self.report(
            "E508",
            f"'{layer.path}' is a target: only the argument 'target' of an objective reads it",
            expr.span,
            notes=("the values of a target come with the images: a network has none of its own",),
            hints=(f"compare a layer with it: 'squared_error(LAYER, target = {layer.path})'",),
        )

    def _default_layer(
        self, row: Argument, bound: Mapping[str, Any], span: Span, scope: Scope, owner: str
    ) -> Any:
        assert isinstance(row.type, LayerArgument)
        layer = find_default(row.type.default, bound, scope, self.made)
        if layer is not None:
            return [layer] if row.type.contents and isinstance(layer, Layer) else layer
        assert isinstance(row.type.default, Nearest), "there is always a layer above"
        return self.report(
            "E501",
            f"'{owner}' needs {row.type.default.expected}, and there is none",
            span,
            hints=(f"name one with '{row.name}'",),
        )


def _found(expr: nodes.Expr, value: Value) -> str:
    return f"'{expr.name.text}(...)'" if isinstance(expr, nodes.Call) else describe(value)


def _is_unknown(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(_is_unknown(item) for item in value)
    return isinstance(value, Unknown)


__all__ = ["ANY", "ATTRIBUTES", "Evaluator", "Instance"]
