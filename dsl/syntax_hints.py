"""Hints on the syntax of other languages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lark import Token

from .diagnostics import did_you_mean
from .nodes import KEYWORDS

COMMENT = "a comment begins with '#'"
CONSTANTS = "constants stand outside of blocks: 'let NAME = VALUE' beside the network"
ITEMS = "every item has a line of its own, or ends with ';'"
DECLARATIONS = {
    "stage": "def fn func function macro module block layer struct template",
    "network": "net model class graph architecture nn",
    "train": "training trainer fit optimizer config settings",
    "let": "const constant var val define set parameter param",
    "include": "import from use using require load",
}
"""Words of other languages for each declaration."""
_DIGITS = re.compile(r"\d+")
_SIZE = re.compile(r"[([]\s*\d+(?:\s*,\s*\d+){1,2}\s*[)\]]")


def syntax_hints(tokens: Sequence[Token], expected: set[str], text: str) -> tuple[str, ...]:
    """Return hints on the last of an item's tokens, in whose place `expected` kinds of token could stand in the text."""
    kinds, token = [t.type for t in tokens], tokens[-1]
    before = str(tokens[-2]) if len(tokens) > 1 else ""
    match kinds:
        case ["NAME", "LPAR"]:
            return (f"an item has a name: 'NAME: {before}(...)'",)
        case ["NAME", "COLON", "NAME", "DOT"]:
            return ("a kind is one name, without dots",)
        case ["NAME", "COLON", "NAME", *_] if "LPAR" in expected and len(kinds) == 4:
            return (f"a kind is written with parentheses: '{tokens[0]}: {before}(...)'",)
        case ["NAME", "NAME"] if tokens[0] in ("for", "repeat", "loop"):
            return ("items repeat as families: 'V[3]: KIND(...)'",)
        case ["NAME", "EQUAL"] if "COLON" in expected:
            return (f"an item is written '{before}: KIND(...)'",)
        case [*_, "NAME", "COLON"] if "EQUAL" in expected:
            return (f"write '{before} = ...'",)
        case ["NETWORK", "LBRACE"]:
            return ("a network has a name: 'network NAME { ... }'",)
        case ["NETWORK", "NAME", "LPAR"]:
            return (f"unlike a stage, a network has no parameters: 'network {before} {{ ... }}'",)
        case ["STAGE", "NAME", "LBRACE"]:
            return (f"a stage has parentheses even without parameters: 'stage {before}() {{ ... }}'",)
        case [*_, "COLON"] if "LBRACE" in expected:
            return ("a block stands between '{' and '}'",)
        case [*_, "LPAR", "NUMBER", "COMMA"]:
            group = _SIZE.match(text, tokens[-3].start_pos or 0)
            return (f"a size is written {'x'.join(_DIGITS.findall(group.group()))}",) if group else ()
        case ["NAME", "COLON", *_, "PLUS" | "MINUS" | "STAR" | "SLASH"] if "END" in expected:
            return (
                "an item is a single layer: 'add([left, right])' and 'concat([left, right])' combine them",
            )
        case ["NAME", "COLON" | "EQUAL", *_, "COMMA" | "NAME"] if "END" in expected:
            return (ITEMS,)
    if token == "include":
        return ('the file to include is named in quotes: include "stages.lnet"',)
    if token.type == "NAME" and expected & {keyword.upper() for keyword in DECLARATIONS}:
        return _declaration_hints(token, text)
    if token.type == "NAME":
        return did_you_mean(str(token), KEYWORDS & {kind.lower() for kind in expected})
    return ()


def _declaration_hints(token: Token, text: str) -> tuple[str, ...]:
    """Return hints on a name where a declaration could begin."""
    if re.match(r"[ \t]*=", text[token.end_pos or 0 :]):
        return (f"a constant is written 'let {token} = VALUE'",)
    word = token.casefold()
    meant = next((own for own, others in DECLARATIONS.items() if word in others.split()), str(token))
    return did_you_mean(meant, DECLARATIONS)
