"""The tables of docs/language.md, made of the signatures and docstrings of what the language calls: `make docs`.

Each stands between the lines `<!-- table: NAME -->` and `<!-- end -->`; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lnet.compiler.core.arguments import REQUIRED, Argument, LayerArgument, signature
from lnet.compiler.reference import KINDS, SETTINGS, default_of, example_of, usual, value_of
from lnet.compiler.words import TRAIN

REFERENCE = Path(__file__).parent / "language.md"
TABLES = {
    "layers": KINDS["layer"],
    "objectives": KINDS["objective"],
    "update rules": KINDS["update rule"],
    "augmentations": KINDS["augmentation"],
}
BLOCK = re.compile(r"(<!-- table: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(kinds: Mapping[str, Callable[..., Any]]) -> str:
    """Return a table of kinds, their arguments and what they compute, in Markdown."""
    rows = [
        f"| `{name}` | {_arguments(name, f)} | {cell(value_of(f))} | `{example_of(f)}` |"
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
    return argument.name if argument.default is REQUIRED else f"{argument.name} = {default_of(argument)}"


def settings_table() -> str:
    """Return the table of the settings of `train`, in Markdown."""
    rows = [f"| `{row.name}` | `{usual(row.name)}` | {cell(SETTINGS[row.name])} |" for row in TRAIN.given]
    return "\n".join(("| setting | default | meaning |", "|---|---|---|", *rows)) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|")  # which would begin the next cell


def _of(name: str) -> str:
    return settings_table() if name == "settings" else table(TABLES[name])


def written(text: str) -> str:
    """Return the reference with its tables made anew; raises KeyError for a table that there is not."""
    return BLOCK.sub(lambda block: block[1] + _of(block[2]) + block[3], text)


if __name__ == "__main__":
    REFERENCE.write_text(written(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
