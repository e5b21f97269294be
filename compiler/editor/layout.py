"""The layout of `lnetc fmt` as edits of lines, so that an editor keeps its cursor and its marks."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from itertools import accumulate

from lnet.dsl.printer import format_source
from lnet.dsl.source import Source, Span

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def formatted(text: str) -> list[tuple[Span, str]]:
    """Return the edits that bring a text into the standard layout; raises `LnetError` for syntax errors."""
    before, after = _LINE.findall(text), _LINE.findall(format_source(Source(text)))
    starts = list(accumulate(map(len, before), initial=0))
    changes = SequenceMatcher(None, before, after).get_opcodes()
    return [
        (Span(starts[first], starts[end]), "".join(after[start:stop]))
        for what, first, end, start, stop in changes
        if what != "equal"
    ]
