"""The questions of the playground and their answers in JSON; worker.js calls each by its name.

`path`: where the text stands among the examples, whose other files it may include. Positions in a text are those of
JavaScript, in units of UTF-16.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from typing import Any

from lnet.compiler.editor import completions, hovers
from lnet.compiler.editor.workspace import Analysis, Workspace
from lnet.compiler.pipeline import compile_source
from lnet.compiler.plan.diagram import diagram
from lnet.compiler.plan.explain import explain_html
from lnet.dsl.diagnostics import Collector, Diagnostic, LnetError, render
from lnet.dsl.printer import format_source
from lnet.dsl.reader import decode_source, read_file
from lnet.dsl.source import Source, Span
from lnet.dsl.sources import read_source

WORKSPACE = Workspace()


def check(path: str, text: str) -> str:
    """Answer with the diagnostics of `lnetc check`, and for a network without errors with what there is to show."""
    network = None

    def read(name: str | os.PathLike[str]) -> Source:
        is_text = os.path.realpath(name) == os.path.realpath(path)
        return decode_source(text.encode(), path) if is_text else read_file(name)

    try:
        source = read_source(path, read)
        collector = Collector(source)
        plan = compile_source(source, {}, collector)
        found = collector.warnings
        network = {"summary": plan.summary(), "table": explain_html(plan), "diagram": diagram(plan.graph)}
    except LnetError as error:
        found, source = error.diagnostics, error.source or Source(text, path)
    return json.dumps({"diagnostics": [_shown(each, source, path) for each in found], "network": network})


def hover(path: str, text: str, position: int) -> str:
    """Answer with what is known of the name at a position, in Markdown, and where the name stands; null: nothing."""
    analysis = _analysis(path, text)
    found = hovers.hover([analysis], os.path.realpath(path), _characters(text, position))
    return json.dumps(found and found[0] and {"text": found[0], **_place(text, found[1])})


def complete(path: str, text: str, position: int) -> str:
    """Answer with what can stand at a position, and where the word begins that it replaces."""
    here = _characters(text, position)
    word = re.split(r"\W", text[:here], flags=re.ASCII)[-1]
    found = completions.completions(_analysis(path, text), text, here)
    fitting = [asdict(each) for each in found if each.name.startswith(word)]
    return json.dumps({"start": _units(text, here - len(word)), "found": fitting})


def layout(path: str, text: str) -> str:
    """Answer with the text as `lnetc fmt` writes it; null for one with syntax errors."""
    try:
        return json.dumps(format_source(decode_source(text.encode(), path)))
    except LnetError:
        return json.dumps(None)


def _analysis(path: str, text: str) -> Analysis:
    """Return what is known of a text, found anew if it has changed."""
    real = os.path.realpath(path)
    WORKSPACE.open = {real: text}
    return WORKSPACE.analysis(real)


def _shown(found: Diagnostic, source: Source, path: str) -> dict[str, Any]:
    """Return a diagnostic as text and, if it is in the text itself, with its place there."""
    file, start = source.at(found.span.start) if found.span is not None else (None, 0)
    shown = {"text": render(found, source), "severity": "warning" if found.is_warning else "error"}
    if found.span is None or file is None or file.name != path:
        return shown
    return shown | _place(file.text, found.span.moved(start - found.span.start))


def _place(text: str, span: Span) -> dict[str, int]:
    return {"start": _units(text, span.start), "end": _units(text, span.end)}


def _units(text: str, characters: int) -> int:
    return len(text[:characters].encode("utf-16-le")) // 2


def _characters(text: str, units: int) -> int:
    return len(text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore"))
