"""What a path in the file can name, and what is wrong with one that names nothing."""

from __future__ import annotations

from collections.abc import Mapping

from lnet.compiler.core.layer import Layer
from lnet.dsl import nodes
from lnet.dsl.diagnostics import Diagnostic, did_you_mean
from lnet.dsl.source import Span

from .scope import Entry, Family, Scope


def no_layer(
    path: nodes.Path, depth: int, owner: str, items: Mapping[str, Entry], scope: Scope
) -> Diagnostic:
    """Return the error for a part of a path that names none of `items`, which are those of `owner`."""
    name = path.parts[depth].name
    if depth == 0 and name in scope.pending:
        return Diagnostic(
            "E205",
            f"'{name}' is declared further down: a layer reads only items above it",
            path.span,
            related=((scope.pending[name].span, "declared here"),),
        )
    hints = did_you_mean(name, items)
    if depth == 0:
        return Diagnostic("E203", f"there is no layer named '{name}' above", path.span, hints=hints)
    return Diagnostic("E203", f"'{owner}' has no layer named '{name}'", path.span, hints=hints)


def no_item(name: str, entry: Entry, number: int, span: Span) -> Diagnostic:
    """Return the error for a number that is none of an item's, or of one that is not there yet."""
    if not isinstance(entry, Family):
        return Diagnostic(
            "E203",
            f"'{name}' is one item, not a family, so there is no '{name}[{number}]'",
            span,
            hints=(f"write '{name}'",),
        )
    if len(entry.entries) <= number < entry.count:
        return Diagnostic(
            "E205", f"'{name}[{number}]' is declared further down: a layer reads only items above it", span
        )
    hints = (
        ("write what the first item reads as an item of its own, above the family",) if number == -1 else ()
    )
    return Diagnostic(
        "E203", f"there is no '{name}[{number}]': the family is {_items(name, entry)}", span, hints=hints
    )


def no_single(name: str, family: Family, span: Span) -> Diagnostic:
    """Return the error for a family where one layer is wanted."""
    return Diagnostic(
        "E203",
        f"'{name}' is a family: name one of its items, {_items(name, family)}",
        span,
    )


def _items(name: str, family: Family) -> str:
    return f"'{name}[0]'" if family.count == 1 else f"'{name}[0]' ... '{name}[{family.count - 1}]'"


def no_patch(layer: Layer, span: Span) -> Diagnostic:
    """Return the error for the patch of a layer that has none."""
    return Diagnostic(
        "E310",
        f"the maps of '{layer.path}' are not laid out in a patch",
        span,
        notes=(f"'{layer.path}' is {layer.sheet}, made by '{layer.op.kind}'",),
        hints=(
            "'maps = 8x8' lays 64 maps of a layer out in a patch; pools, norms and pointwise layers keep it",
        ),
    )


def no_value(name: str, entry: Entry | None) -> str:
    """Return a hint for an item that stands where a value is wanted."""
    layer = f"{name}[0]" if isinstance(entry, Family) else name
    return f"its extents are '{layer}.height', '{layer}.width' and '{layer}.maps'"


def no_index() -> str:
    """Return a hint for an `index` outside of a family."""
    return "'index', the number of an item, is known only in the line of a family 'NAME[n]: ...': pass it on as an argument"
