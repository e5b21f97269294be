"""The command that prints the language's reference: kinds."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby

import click

from lnet.compiler.reference import SETTING, Entry, entries
from lnet.compiler.text_table import terminal_width
from lnet.dsl.diagnostics import did_you_mean

from .options import json_option
from .program import main

WIDTH = 100
"""Columns of text where the terminal has more."""
HEADINGS = {
    "layer": "layers",
    "objective": "objectives",
    "update rule": "update rules",
    "data": "data: values of 'data' and 'validation'",
    "augmentation": "augmentations",
    SETTING: "settings of 'train'",
}


@main.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
def kinds(names: Sequence[str], as_json: bool) -> None:
    """Print the reference of the language.

    NAME is a kind of layer, an objective, an update rule, an augmentation, or a setting of train (default: a list of all).
    """
    from lnet.compiler.plugins.load import load_plugins

    load_plugins()
    found = tuple(entries())
    wanted = [entry for name in names for entry in _named(name, found)] if names else list(found)
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in wanted], indent=2))
    elif names:
        click.echo("\n\n".join(map(_article, wanted)))
    else:
        click.echo("\n\n".join(_listed(what, group) for what, group in groupby(found, lambda e: e.what)))


def _named(name: str, found: Sequence[Entry]) -> list[Entry]:
    """Return what has a name; raises `BadParameter` if nothing has."""
    entries = [entry for entry in found if entry.name == name]
    if not entries:
        from lnet.compiler.language.hints import kind_hints, setting_hints

        known = [entry.name for entry in found]
        hints = dict.fromkeys((*did_you_mean(name, known), *kind_hints(name, known), *setting_hints(name)))
        hint = next(iter(hints), "'lnetc kinds' lists all")
        raise click.BadParameter(f"the language has no '{name}'; {hint}", param_hint="NAME")
    return entries


def _listed(what: str, group: Iterable[Entry]) -> str:
    """Return a heading, and a paragraph for each of a group."""
    group = list(group)
    indent = max(len(entry.name) for entry in group) + 4
    lines = [HEADINGS[what]]
    lines += [_filled(entry.value, f"  {entry.name}".ljust(indent), indent) for entry in group]
    return "\n".join(lines)


def _article(entry: Entry) -> str:
    """Return all about one of them."""
    parts = [f"{entry.name}: {entry.what}", _filled(entry.value, "  ", 2)]
    named = [row.name if row.default is None else f"{row.name} = {row.default}" for row in entry.arguments]
    indent = max((len(name) for name in named if len(name) < _width() // 2), default=2) + 4
    if named:
        parts.append("")
    for name, row in zip(named, entry.arguments, strict=True):
        first = f"  {name}".ljust(indent)
        if len(first) > indent:  # a default that is long: what is expected stands below it
            parts.append(_filled(name, "  ", 4))
            first = " " * indent
        parts.append(_filled(row.expected, first, indent))
    if entry.example is not None:
        parts.append(f"\n  {entry.example}")
    return "\n".join(parts)


def _filled(text: str, first: str, indent: int) -> str:
    # the text of docs/language.md says more below its table
    return textwrap.fill(
        text.replace("`", "").replace(": below", ""),
        _width(),
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _width() -> int:
    return min(terminal_width(), WIDTH)
