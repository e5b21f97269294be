"""A module as the text of a program makes it: a class, called with arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WIDTH = 110


class Text(str):
    """An argument as it stands in the program."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a class; arguments are numbers, texts, tuples, lists and calls. `open`: with a line for each argument."""

    name: str
    arguments: tuple[Any, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False


def statement(before: str, value: Any, indent: int, after: str = "") -> str:
    """Return a line that begins with `before`, or several, as a formatter breaks them."""
    margin = " " * indent
    line = f"{margin}{before}{written(value)}{after}"
    if not isinstance(value, Call) or (not value.open and len(line) <= WIDTH):
        return line
    parts = [("", each) for each in value.arguments]
    parts += [(f"{name}=", each) for name, each in value.given.items()]
    lines = [statement(start, each, indent + 4, ",") for start, each in parts]
    return "\n".join([f"{margin}{before}{value.name}(", *lines, f"{margin}){after}"])


def written(value: Any) -> str:
    """Return a value as a program's text has it."""
    match value:
        case Call():
            given = [f"{name}={written(each)}" for name, each in value.given.items()]
            return f"{value.name}({', '.join([*map(written, value.arguments), *given])})"
        case Text():
            return value
        case str():
            return json.dumps(value)
        case tuple():
            return f"({', '.join(map(written, value))}{',' * (len(value) == 1)})"
        case list():
            return f"[{', '.join(map(written, value))}]"
    return repr(value)


def unless(usual: Any, **given: Any) -> dict[str, Any]:
    """Return arguments that are not what a class takes them to be without."""
    return {name: value for name, value in given.items() if value != usual}
