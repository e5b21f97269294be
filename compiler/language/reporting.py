"""Mistakes on their way to the collector: each is told with what was being read when it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from lnet.compiler.core.arguments import ArgumentType, LayerArgument
from lnet.compiler.core.values import UNKNOWN, Unknown
from lnet.dsl.diagnostics import Collector, Diagnostic
from lnet.dsl.source import Span

from .scope import Place


@dataclass(slots=True)
class Reporter:
    """Reports mistakes. `wanted`: the argument that is being read, and its type; `place`: that of the item."""

    collector: Collector
    wanted: tuple[str, ArgumentType | LayerArgument] | None = None
    place: Place | None = None

    def report(self, code: str, message: str, span: Span, **details: Any) -> Unknown:
        return self.add(Diagnostic(code, message, span, **details))

    def add(self, found: Diagnostic) -> Unknown:
        """Report a mistake, with notes on where it was made."""
        item, place = (self.place.item, self.place.note) if self.place else ("", "")
        wanted = must_be(*self.wanted) if self.wanted else ""
        context = tuple(note for note in (wanted, place) if note)
        self.collector.add(replace(found, notes=(*found.notes, *context), item=item))
        return UNKNOWN

    @contextmanager
    def noting(self, **context: Any) -> Iterator[None]:
        """Set `wanted` or `place` for what is reported inside."""
        before = {name: getattr(self, name) for name in context}
        for name, note in context.items():
            setattr(self, name, note)
        try:
            yield
        finally:
            for name, note in before.items():
                setattr(self, name, note)


def must_be(what: str, wanted: ArgumentType | LayerArgument) -> str:
    """Return what an argument must be: `'field' of 'local' must be a positive integer`."""
    return f"{what} must be {wanted.expected}"
