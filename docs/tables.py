"""The tables of docs/language.md, made of the signatures and docstrings of what the language calls: `make docs`.

Each stands between the lines `<!-- table: NAME -->` and `<!-- end -->`; a test compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lnet.compiler.augmentations import AUGMENTATIONS
from lnet.compiler.core.arguments import (
    REQUIRED,
    Argument,
    ArgumentType,
    LayerArgument,
    Padding,
    Sharing,
    signature,
)
from lnet.compiler.core.learned import Init
from lnet.compiler.core.shapes import Size
from lnet.compiler.objectives import OBJECTIVE_KINDS
from lnet.compiler.ops import LAYER_KINDS
from lnet.compiler.rules import RULES

REFERENCE = Path(__file__).parent / "language.md"
TABLES: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "layers": LAYER_KINDS,
    "objectives": OBJECTIVE_KINDS,
    "update rules": RULES,
    "augmentations": AUGMENTATIONS,
}
BLOCK = re.compile(r"(<!-- table: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def value_of(function: Callable[..., Any]) -> str:
    """Return what a docstring says that a kind computes."""
    said = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
    return said.replace("|", "\\|")  # which would begin the next cell


def example_of(function: Callable[..., Any]) -> str:
    """Return the example in a docstring; raises ValueError if there is none."""
    found = re.search(r"^Example: (.+)$", inspect.getdoc(function) or "", re.MULTILINE)
    if found is None:
        raise ValueError(f"'{function.__name__}' has no example")
    return found[1]


def table(kinds: Mapping[str, Callable[..., Any]]) -> str:
    """Return a table of kinds, their arguments and what they compute, in Markdown."""
    rows = [
        f"| `{name}` | {_arguments(name, f)} | {value_of(f)} | `{example_of(f)}` |"
        for name, f in kinds.items()
    ]
    return "\n".join(("| kind | arguments | value | example |", "|---|---|---|---|", *rows)) + "\n"


def _arguments(name: str, function: Callable[..., Any]) -> str:
    shown = [_argument(argument) for argument in signature(name, function).given]
    return ", ".join(f"`{text}`" for text in shown if text) or "-"


def _argument(argument: Argument) -> str:
    """Return an argument with its default; the layer above goes without saying."""
    if isinstance(argument.type, LayerArgument):
        return "" if argument.type.default == "above" else argument.name
    assert isinstance(argument.type, ArgumentType)
    return (
        argument.name if argument.default is REQUIRED else f"{argument.name} = {_in_words(argument.default)}"
    )


def _in_words(value: Any) -> str:
    """Return a default as the language writes it."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case Size(rows, columns) if rows == columns:
            return str(rows)
        case Padding(word):
            return word
        case Sharing(None):
            return "none"
        case int() | float() | str() | Init():
            return str(value)
    raise TypeError(f"no default is written like {value!r}")


def written(text: str) -> str:
    """Return the reference with its tables made anew; raises KeyError for a table that there is not."""
    return BLOCK.sub(lambda block: block[1] + table(TABLES[block[2]]) + block[3], text)


if __name__ == "__main__":
    REFERENCE.write_text(written(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
