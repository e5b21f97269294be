"""Files to sources, each with the files that it includes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, pairwise

from .diagnostics import Collector, Diagnostic, LnetError, error_of
from .including import name_of_included
from .lexer import span_of, tokenize, unescape
from .reader import NOWHERE, read_file
from .source import Source, Span

Reader = Callable[[str | os.PathLike[str]], Source]
"""Reads a file alone, as `read_file` does."""


def read_source(path: str | os.PathLike[str], reader: Reader = read_file) -> Source:
    """Read a `.lnet` file and all files that it includes, each once.

    `reader`: an editor's, which has texts that are not saved. Raises `LnetError` if a file is missing, unreadable, not
    UTF-8 or empty, or includes itself.
    """
    main = reader(path)
    read = [main]
    waiting = [_Reading(main, os.path.realpath(main.name), 0, _includes(main), NOWHERE)]
    found, end = {waiting[0].real: waiting[0]}, len(main.text) + 1
    while waiting:
        reading = waiting[-1]
        if not reading.includes:
            waiting.pop().done = True
            continue
        span, value = reading.includes.pop(0)
        reading.span = span.moved(reading.start)
        name = name_of_included(reading.file.name, value)
        real = os.path.realpath(name)
        if real in found and not found[real].done:
            raise _circle(waiting, real, read)
        if real in found:
            continue
        file = _included(name, reading.span, read, reader)
        found[real] = _Reading(file, real, end, _includes(file), NOWHERE)
        waiting.append(found[real])
        read.append(file)
        end += len(file.text) + 1
    return _source(read)


def _source(read: Sequence[Source]) -> Source:
    return Source(read[0].text, read[0].name, tuple(read[1:]))


@dataclass
class _Reading:
    """A file that is being read: where its text begins among all, what it includes, and what of that is read now."""

    file: Source
    real: str
    start: int
    includes: list[tuple[Span, str]]
    span: Span
    done: bool = False


def _includes(file: Source) -> list[tuple[Span, str]]:
    """Return where a file includes others, and their paths as written."""
    if "include" not in file.text:
        return []
    tokens = tokenize(Collector(file)).tokens
    return [
        (span_of(keyword).to(span_of(text)), unescape(text))
        for keyword, text in pairwise(tokens)
        if keyword.type == "INCLUDE"
    ]


def _included(name: str, span: Span, read: Sequence[Source], reader: Reader) -> Source:
    try:
        return reader(name)
    except LnetError as error:
        if error.source is not None:
            raise
        placed = [replace(found, span=span) for found in error.diagnostics]
        raise error_of(placed, _source(read)) from error


def _circle(waiting: Sequence[_Reading], real: str, read: Sequence[Source]) -> LnetError:
    """Return the error for a file that includes itself, directly or through others."""
    circle = list(dropwhile(lambda reading: reading.real != real, waiting))
    through = "".join(f", through '{reading.file.name}'" for reading in circle[1:])
    first, *others = [reading.span for reading in circle]
    message = f"'{circle[0].file.name}' includes itself{through}"
    related = tuple((span, "") for span in others)
    return error_of([Diagnostic("E216", message, first, related=related)], _source(read))
