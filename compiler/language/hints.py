"""Hints for unknown names: the language's own that are close, or what it has for those of other frameworks (foreign.py).

A foreign name is looked up without case, underscores and dimensions: `Conv2d`, `conv_2d` and `conv` are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lnet.compiler.core.arguments import ArgumentType, listed, signature, stands_bare
from lnet.compiler.core.values import Extents, Value, Word
from lnet.compiler.rules import RULES
from lnet.compiler.words import TRAIN
from lnet.dsl.diagnostics import did_you_mean

from .foreign import ARGUMENT_TEXTS, ARGUMENTS, ATTRIBUTES, FUNCTIONS, KINDS, SETTINGS, VALUES, WORDS


def kind_hints(name: str, kinds: Iterable[str]) -> tuple[str, ...]:
    """Return hints for an unknown kind."""
    return _suggested(name, kinds, KINDS)


def call_hints(name: str, calls: Iterable[str]) -> tuple[str, ...]:
    """Return hints for an unknown function in a value."""
    return _suggested(name, calls, FUNCTIONS)


def argument_hints(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return hints for an unknown argument."""
    known, key = tuple(known), _key(name)
    meant = _meant(ARGUMENTS, key, known)
    if meant:
        return did_you_mean(meant, known)
    if name in (row.name for row in TRAIN.given):
        return (f"'{name}' is a setting of its own in 'train'",)
    return _suggested(name, known, ARGUMENT_TEXTS)


def attribute_hints(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return hints for an unknown property of a layer."""
    known = tuple(known)
    return did_you_mean(_meant(ATTRIBUTES, _key(name), known) or name, known)


def setting_hints(name: str) -> tuple[str, ...]:
    """Return hints for an unknown setting of `train`."""
    owners = [
        (setting.name, owner)
        for setting in TRAIN.given
        if isinstance(setting.type, ArgumentType)
        for owner, function in setting.type.calls.items()
        if name in (row.name for row in signature(owner, function).given)
    ]
    key = _key(name)
    if owners and key not in SETTINGS:
        places = ", ".join(dict.fromkeys(f"'{owner}'" for _, owner in owners))
        setting, first = owners[0]
        return (f"'{name}' is an argument of {places}: write it there, in '{setting} = {first}(...)'",)
    return _suggested(name, (row.name for row in TRAIN.given), SETTINGS)


def option_hint(option: str) -> str | None:
    """Return a hint for a command-line option that is a setting of the file."""
    name = option.lstrip("-").replace("-", "_")
    if name in (row.name for row in TRAIN.given):
        return f"Write '--set train.{name}=...'."
    key = _key(name)
    return f"It is a setting of the file: {_foreign(SETTINGS, key)}" if key in SETTINGS else None


def value_hints(name: str, known: Iterable[str], calls: Mapping[str, Callable[..., Any]]) -> tuple[str, ...]:
    """Return hints for an unknown bare name; `calls` make the type wanted there."""
    for call, function in calls.items():
        if name.casefold() == call and not stands_bare(call, function):
            needed = ", ".join(f"{row.name} = ..." for row in signature(call, function).given if row.required)
            return (f"write '{call}({needed})'",)
    if "frames" in calls:
        return (f'a path is a text: frames("{name}")',)
    return _word_hints(name, known)


def _word_hints(name: str, known: Iterable[str]) -> tuple[str, ...]:
    known = tuple(known)
    meant = _meant(WORDS, _key(name), known)
    return did_you_mean(meant, known) if meant else _suggested(name, known, VALUES)


def mismatch_hints(value: Value, wanted: ArgumentType, words: Iterable[str]) -> tuple[str, ...]:
    """Return hints for a value of another type than is wanted; `words` are those that are."""
    words = tuple(words)
    if isinstance(value, Word):
        return _word_hints(value.text, words)
    if isinstance(value, str) and value in words:
        return (f"a word is written without quotes: {value}",)
    if isinstance(value, str) and "frames" in wanted.calls:
        return (f'write frames("{value}")',)
    if value is None or (isinstance(value, int) and not value):
        return did_you_mean(_meant({"off": ("false", "none")}, "off", words), words)
    if value == 1 and "true" in words:
        return ("did you mean 'true'?",)
    if wanted.expected.startswith("a size of three numbers") and isinstance(value, int | Extents):
        shown = f"{value}x3" if isinstance(value, Extents) else "64x64x3"
        return (f"write rows, columns and maps: {shown} for images in colour",)
    if wanted.items is not None and not isinstance(value, tuple):
        return ("a list is written in brackets, even if it has a single item",)
    if (
        "list" not in wanted.expected
        and isinstance(value, tuple)
        and len(value) in (2, 3)
        and all(type(x) is int for x in value)
    ):
        return (f"a size is written {'x'.join(map(str, value))}",)
    return ()


def _meant(table: Mapping[str, tuple[str, ...]], key: str, known: Sequence[str]) -> str:
    """Return the first of lnet's names for a name of another framework that is known here."""
    return next((own for own in table.get(key, ()) if own in known), "")


def _suggested(name: str, known: Iterable[str], foreign: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hint for a name of another framework, or else the names that are close."""
    known = tuple(known)
    key = _key(name)
    if name.casefold() not in known and key in foreign:
        return (_foreign(foreign, key),)
    return did_you_mean(key if key in known else name, known)


def _foreign(table: Mapping[str, str], key: str) -> str:
    """Return the hint for a name of another framework; raises KeyError."""
    return table[key].replace("{rules}", listed([f"'{rule}'" for rule in RULES], "and"))


def _key(name: str) -> str:
    return re.sub(r"[123]d|layer$|_", "", name.casefold())
