"""Where a name of the file is declared and used, over includes, and how it is renamed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from lnet.dsl.lexer import CONSTANTS
from lnet.dsl.nodes import KEYWORDS
from lnet.dsl.source import Span

from .meanings import Symbol
from .workspace import Analysis, Place, Workspace

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class CannotRename(Exception):
    """A name cannot be changed, or not to this one."""


def symbol_at(analysis: Analysis, offset: int) -> Symbol | None:
    """Return the name of the file at a position; None for those of the language."""
    meaning = analysis.meaning(offset)
    return meaning.of if meaning is not None and isinstance(meaning.of, Symbol) else None


def places(
    analyses: Iterable[Analysis], path: str, offset: int, declarations: bool | None = None
) -> list[Place]:
    """Return every place of the name at a position of a file; `declarations`: only, or without, those that declare it."""
    found: dict[Place, None] = {}
    for analysis in analyses:
        here = analysis.offset(path, offset)
        symbol = None if here is None else symbol_at(analysis, here)
        for each in analysis.meanings if symbol is not None else ():
            if each.of == symbol and declarations in (None, each.declares):
                found[analysis.place(each.span)] = None
    return list(found)


def definition(analyses: Iterable[Analysis], path: str, offset: int) -> list[Place]:
    """Return where the name at a position is declared; for an `include`, the beginning of that file."""
    own, *others = analyses
    included = own.included_at(offset)
    if included is not None:
        return [Place(included, Span(0, 0))]
    return places([own, *others], path, offset, declarations=True)


def rename(workspace: Workspace, path: str, offset: int, name: str) -> list[Place]:
    """Return the places of a name that are to be replaced by another.

    Raises `CannotRename` if the name is the language's, or if with the other name a file would have other mistakes, or a
    name in it another meaning.
    """
    analyses = list(workspace.around(path))
    symbol = symbol_at(analyses[0], offset)
    if symbol is None:
        raise CannotRename("only names that the file declares can be renamed")
    if not _NAME.fullmatch(name) or name in KEYWORDS or name in CONSTANTS:
        raise CannotRename(f"'{name}' is not a name")
    changed = places(analyses, path, offset)
    renamed = Workspace(dict(workspace.open))
    for file in {place.path for place in changed}:
        text = workspace.read(file).text
        renamed.open[file] = replaced(text, [(place.span, name) for place in changed if place.path == file])
    for before in analyses:
        _demand_same(before, renamed.analysis(before.source.name), symbol, name)
    return changed


def replaced(text: str, edits: Iterable[tuple[Span, str]]) -> str:
    """Return a text with some of its places replaced; they do not overlap."""
    for span, new in sorted(edits, reverse=True):
        text = text[: span.start] + new + text[span.end :]
    return text


def _demand_same(before: Analysis, after: Analysis, symbol: Symbol, name: str) -> None:
    """Raise `CannotRename` unless every name means after a change of name what it did before."""
    codes = Counter(each.code for each in before.diagnostics)
    for each in after.diagnostics:
        codes[each.code] -= 1
        if codes[each.code] < 0:
            raise CannotRename(each.message)
    expected = [_renamed(each.of, symbol, name) for each in before.meanings if isinstance(each.of, Symbol)]
    if expected != [each.of for each in after.meanings if isinstance(each.of, Symbol)]:
        raise CannotRename(f"'{name}' already has a meaning where '{symbol.name}' is used")


def _renamed(each: Symbol, symbol: Symbol, name: str) -> Symbol:
    if each == symbol:
        return replace(each, name=name)
    return replace(each, block=name) if symbol.what == "stage" and each.block == symbol.name else each
