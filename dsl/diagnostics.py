"""Diagnostics and errors: each mistake reported once, in the user's words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from .source import Source, Span


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: a code, a sentence, a place; a note is a fact, a hint is an action.

    `item`: the path of the item of a stage's instance, or of a family, in which it was found.
    """

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    related: tuple[tuple[Span, str], ...] = ()
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    item: str = ""

    def moved(self, by: int) -> Diagnostic:
        """Return the diagnostic with its places moved by a number of characters."""
        related = tuple((span.moved(by), text) for span, text in self.related)
        return replace(self, span=None if self.span is None else self.span.moved(by), related=related)

    @property
    def is_warning(self) -> bool:
        """Whether it is a warning, not an error."""
        return self.code.startswith("W")


class LnetError(Exception):
    """A user's mistake: every front end prints it unchanged, without a traceback.

    `.diagnostics` holds all mistakes found, `.source` the text that they point into (None: they are not in a
    text).
    """

    diagnostics: tuple[Diagnostic, ...]
    source: Source | None

    def __init__(self, diagnostics: Iterable[Diagnostic], source: Source | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.source = source
        super().__init__(self.diagnostics, source)

    def __str__(self) -> str:
        return render_all(self.diagnostics, self.source)


class InputError(LnetError):
    """A file, a plan, an option or an argument is wrong."""


class DataError(LnetError):
    """Images, labels or arrays cannot be used, or differ from those of a run."""


class RunError(LnetError):
    """A run cannot begin, go on or be read."""


class Diverged(RunError):
    """A loss, or its gradient, is not finite."""


class ClusterError(RunError):
    """A cluster is missing or lost, or its workers cannot continue."""


CLASSES: dict[str, type[LnetError]] = {
    "E": InputError,
    "E70": DataError,
    "E71": DataError,
    "E73": RunError,
    "E730": Diverged,
    "E74": RunError,
    "E747": DataError,
    "E748": DataError,
    "E75": RunError,
    "E76": ClusterError,
    "E770": DataError,
    "E771": DataError,
    "E772": DataError,
    "E773": RunError,
    "E774": RunError,
    "E794": RunError,
    "E795": RunError,
    "E797": RunError,
    "E798": RunError,
}
"""The class of an error by prefix of its code; the longest prefix counts."""


def class_of(code: str) -> type[LnetError]:
    """Return the class of errors with a code."""
    return CLASSES[max((start for start in CLASSES if code.startswith(start)), key=len)]


def error_of(diagnostics: Iterable[Diagnostic], source: Source | None = None) -> LnetError:
    """Return the error for some diagnostics; the first that is no warning decides its class."""
    found = tuple(diagnostics)
    return class_of(next(d.code for d in found if not d.is_warning))(found, source)


def refused(code: str, message: str, *notes: str, hint: str | tuple[str, ...] = ()) -> LnetError:
    """Return the error for a single mistake outside of any source text, with one or several hints."""
    return error_of(
        [Diagnostic(code, message, notes=notes, hints=(hint,) if isinstance(hint, str) else hint)]
    )


class LnetWarning(UserWarning):
    """A warning for the user."""


MISSPELT = frozenset(("E106", "E107"))
"""Codes of malformed numbers and sizes: further diagnostics about their substitute values are dropped."""


NAMED = 3
"""Most further items that a diagnostic names."""


class Collector:
    """Gathers the diagnostics of one run over a source, so that all are reported at once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._found: dict[object, Diagnostic] = {}
        self._others: dict[object, dict[str, None]] = {}
        self._misspelt: set[Span | None] = set()

    def add(self, diagnostic: Diagnostic) -> None:
        """Add a diagnostic, unless its place was already reported as misspelt.

        Of a mistake that several instances of a stage, or items of a family, have in common, the first is told, with the
        names of the others.
        """
        key = (diagnostic.code, diagnostic.span, diagnostic.span is None and diagnostic.message)
        if key in self._found:
            if diagnostic.item not in ("", self._found[key].item):
                self._others.setdefault(key, {})[diagnostic.item] = None
        elif diagnostic.span not in self._misspelt:
            if diagnostic.code in MISSPELT:
                self._misspelt.add(diagnostic.span)
            self._found[key] = diagnostic

    def note(self, notes: Mapping[Span, str]) -> None:
        """Add a note to the diagnostics at some places."""
        for key, found in self._found.items():
            if found.span is not None and found.span in notes:
                self._found[key] = replace(found, notes=(*found.notes, notes[found.span]))

    @property
    def diagnostics(self) -> list[Diagnostic]:
        return [_with_others(found, list(self._others.get(key, ()))) for key, found in self._found.items()]

    @property
    def failed(self) -> bool:
        return any(not found.is_warning for found in self._found.values())

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.is_warning)

    def raise_errors(self) -> None:
        """Raise `LnetError` with all diagnostics, in source order, if any is an error."""
        if self.failed:
            raise error_of(sorted(self.diagnostics, key=_source_order), self.source)


def _with_others(found: Diagnostic, items: Sequence[str]) -> Diagnostic:
    """Return a diagnostic with a note on further items with the same mistake."""
    if not items:
        return found
    named = [f"'{item}'" for item in items[: NAMED if len(items) > NAMED + 1 else len(items)]]
    last = f"{len(items) - NAMED} more" if len(named) < len(items) else named.pop()
    listed = f"{', '.join(named)} and {last}" if named else last
    return replace(found, notes=(*found.notes, f"likewise {listed}"))


def _source_order(diagnostic: Diagnostic) -> int:
    return diagnostic.span.start if diagnostic.span else -1


def did_you_mean(word: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """Return a hint that names the candidates closest to `word`, if any is close; case is ignored."""
    folded: dict[str, list[str]] = {}
    for candidate in sorted(set(candidates)):
        folded.setdefault(candidate.casefold(), []).append(candidate)
    exact = folded.get(word.casefold())
    close = difflib.get_close_matches(word.casefold(), folded, n=2, cutoff=0.6)
    names = exact or [name for key in close for name in folded[key]][:2]
    if not names:
        return ()
    return ("did you mean " + " or ".join(f"'{name}'" for name in names) + "?",)


def those_there_are(what: str, names: Iterable[str]) -> str:
    """Return a note that lists names, the first twenty of many."""
    first = list(islice(names, 21))
    return f"the {what} are {', '.join(first[:20]) or 'none'}" + ", ..." * (len(first) > 20)


def render_all(diagnostics: Iterable[Diagnostic], source: Source | None) -> str:
    return "\n\n".join(render(diagnostic, source) for diagnostic in diagnostics)


def render(diagnostic: Diagnostic, source: Source | None) -> str:
    """Return a diagnostic as text: place, sentence, source line with carets, notes and hints.

    catface.lnet:7:5: error E201: there is no kind 'l2pol'
      |
    7 |     pool: l2pol(5)
      |           ^^^^^
      = hint: did you mean 'l2pool'?
    """
    severity = "warning" if diagnostic.is_warning else "error"
    lines = [f"{_place(source, diagnostic.span)}{severity} {diagnostic.code}: {diagnostic.message}"]
    if source is not None and diagnostic.span is not None:
        excerpts = [
            (diagnostic.span, diagnostic.label, "^"),
            *((s, text, "-") for s, text in diagnostic.related),
        ]
        width = max(len(str(source.position(span.start)[0])) for span, _, _ in excerpts)
        lines.append(f"{'':{width}} |")
        shown = source.at(diagnostic.span.start)[0]
        for span, label, mark in excerpts:
            file, start = source.at(span.start)
            if file is not shown:
                lines += [f"{'':{width}} : {_place(source, span).rstrip(': ')}", f"{'':{width}} |"]
                shown = file
            lines.extend(_excerpt(file, span.moved(start - span.start), label, mark, width))
    else:
        width = 0
    lines.extend(f"{'':{width}} = note: {note}" for note in diagnostic.notes)
    lines.extend(f"{'':{width}} = hint: {hint}" for hint in diagnostic.hints)
    return "\n".join(lines)


def _place(source: Source | None, span: Span | None) -> str:
    if source is None:
        return ""
    if span is None:
        return f"{source.name}: "
    line, column = source.position(span.start)
    return f"{source.at(span.start)[0].name}:{line}:{column}: "


_EXCERPT_COLUMNS = 120


def _excerpt(source: Source, span: Span, label: str, mark: str, width: int) -> list[str]:
    number, column = source.position(span.start)
    text = "".join(each if each.isprintable() or each == "\t" else "\ufffd" for each in source.line(number))
    start = column - 1
    length = max(1, min(span.end - span.start, len(text) - start))
    if len(text) > _EXCERPT_COLUMNS:  # show the part of a very long line that matters
        left = max(0, start - 30)
        text, start = text[left : left + _EXCERPT_COLUMNS], start - left
        length = max(1, min(length, len(text) - start))
    blank = "".join("\t" if character == "\t" else " " for character in text[:start])
    marks = f"{blank}{mark * length}{' ' + label if label else ''}"
    return [f"{number:{width}} | {text}", f"{'':{width}} | {marks}"]
