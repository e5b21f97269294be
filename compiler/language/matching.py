"""The arguments of a call, matched with the rows of its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lnet.compiler.core.arguments import Context, Signature, listed
from lnet.dsl import nodes

from .hints import argument_hints, setting_hints

Report = Callable[..., Any]
"""Reports a diagnostic: code, message, place, and notes, hints, ..."""


def match(table: Signature, arguments: Sequence[nodes.Argument], report: Report) -> dict[str, nodes.Argument]:
    """Return the arguments of a call by name; report those that fit nowhere, of too many positional ones the first."""
    given: dict[str, nodes.Argument] = {}
    names = [row.name for row in table.given]
    rows = iter(table.positional)
    surplus = False
    for argument in arguments:
        if argument.name is not None:
            name = argument.name.text
            if name not in names:
                _report_unknown(table, argument.name, names, report)
                continue
        elif any(a.name is not None for a in given.values()):
            hint = "positional arguments come first: write the name of this one"
            report(
                "E311",
                "a positional argument follows a named one",
                argument.span,
                hints=(hint,),
            )
            continue
        else:
            row = next(rows, None)
            if row is None:
                if not surplus:
                    _report_surplus(table, argument, arguments, report)
                surplus = True
                continue
            name = row.name
        if name in given:
            first = ((given[name].span, "given here first"),)
            report("E302", f"'{name}' is given twice to '{table.name}'", argument.span, related=first)
        else:
            given[name] = argument
    return given


def _report_surplus(
    table: Signature, argument: nodes.Argument, arguments: Sequence[nodes.Argument], report: Report
) -> None:
    count = len(table.positional)
    report(
        "E304",
        f"'{table.name}' takes {count} positional argument{'' if count == 1 else 's'}, found one more",
        argument.span,
        notes=(f"its arguments: {table}",),
        hints=(_surplus_hint(table, arguments),),
    )


def _surplus_hint(table: Signature, arguments: Sequence[nodes.Argument]) -> str:
    values = [argument.value for argument in arguments if argument.name is None]
    numbers = [value.text for value in values if isinstance(value, nodes.Number)]
    types = [row.type.expected for row in table.positional[:1] if not isinstance(row.type, Context)]
    if types and "size" in types[0] and len(values) == len(numbers) in (2, 3):
        return f"a size is one word: {'x'.join(numbers)}"
    named = [row.name for row in table.given if row.keyword_only]
    if not named:
        return "leave it out"
    which = f"say which of {listed(named, 'and')} it is" if len(named) > 1 else "name it"
    return f"leave it out, or {which}: '{named[0]} = ...'"


def _report_unknown(table: Signature, name: nodes.Name, names: Sequence[str], report: Report) -> None:
    of_train = table.name == "train"
    code, what = ("E510", "setting") if of_train else ("E301", "argument")
    report(
        code,
        f"'{table.name}' has no {what} '{name.text}'",
        name.span,
        notes=(f"its {what}s: {', '.join(names)}" if names else f"it takes no {what}s",),
        hints=setting_hints(name.text) if of_train else argument_hints(name.text, names),
    )
