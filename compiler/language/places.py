"""Where something stands: lines and texts in files that may include others."""

from __future__ import annotations

import os

from lnet.compiler.core.values import Written
from lnet.dsl import nodes
from lnet.dsl.source import Source, Span


def line_of(source: Source, span: Span) -> str:
    """Return the line at which something begins, with its file if that is an included one."""
    file, _ = source.at(span.start)
    line, _ = source.position(span.start)
    return str(line) if file is source.files[0] else f"{line} of '{file.name}'"


def text_of(source: Source, text: nodes.String) -> str:
    """Return a text, with the folder of its file if that is another than the source's."""
    file, _ = source.at(text.span.start)
    folder, main = os.path.dirname(file.name), os.path.dirname(source.name)
    return text.value if folder == main else Written(text.value, os.path.relpath(folder, main or os.curdir))


def behind_a_division(source: Source, span: Span) -> bool:
    """Whether `//` stands before something, which in other languages is a comment."""
    file, start = source.at(span.start)
    return file.text[:start].rstrip(" \t").endswith("//")
