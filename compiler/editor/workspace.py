"""The files of an editor: texts as they are typed, those on the disk, and what the compiler says about each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from lnet.compiler.graph.graph import Graph
from lnet.compiler.pipeline import understand
from lnet.dsl import nodes
from lnet.dsl.diagnostics import Collector, Diagnostic, LnetError
from lnet.dsl.including import name_of_included
from lnet.dsl.parser import parse_source
from lnet.dsl.reader import read_file
from lnet.dsl.source import Source, Span
from lnet.dsl.sources import read_source

from .meanings import Meaning, meanings

NO_NETWORK = "E209"


@dataclass(frozen=True)
class Analysis:
    """All that is known of a file and those that it includes.

    `known`: the graph, or as much of it as there is in spite of mistakes; `items`: where items stand, by their paths.
    """

    source: Source
    diagnostics: tuple[Diagnostic, ...]
    module: nodes.Module
    graph: Graph | None
    known: Graph | None
    items: Mapping[str, Span]

    @cached_property
    def meanings(self) -> tuple[Meaning, ...]:
        return meanings(self.module)

    def meaning(self, offset: int) -> Meaning | None:
        """Return the innermost name at a position, or that ends there."""
        found = [each for each in meanings(self.module, offset) if each.span.start <= offset <= each.span.end]
        return min(found, key=lambda each: each.span.end - each.span.start, default=None)

    def place(self, span: Span) -> Place:
        """Return a place as one in a file."""
        file, start = self.source.at(span.start)
        return Place(os.path.realpath(file.name), Span(start, start + span.end - span.start))

    def offset(self, path: str, offset: int) -> int | None:
        """Return a position in a file as one among all texts; None if the file is not included."""
        for file, start in zip(self.source.files, self.source.starts, strict=True):
            if os.path.realpath(file.name) == path:
                return start + offset
        return None

    def included_at(self, offset: int) -> str | None:
        """Return the path of the file that a declaration at a position includes."""
        for each in self.module.declarations:
            if isinstance(each, nodes.Include) and each.span.start <= offset <= each.span.end:
                return os.path.realpath(name_of_included(self.source.at(offset)[0].name, each.path.value))
        return None


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file."""

    path: str
    span: Span


def analyse(source: Source) -> Analysis:
    """Return what the compiler finds in a text: the diagnostics of `lnetc check`, and all that it understands."""
    collector = Collector(source)
    module = parse_source(collector)
    found = understand(module, collector)
    return Analysis(source, tuple(collector.diagnostics), module, found.graph, found.known, found.items)


def _without_others(main: Source, error: LnetError) -> Analysis:
    """Return the analysis of a file alone, where one that it includes cannot be read."""
    found, source = error.diagnostics, error.source or main
    if source.name != main.name:  # the mistake is in the included file, which was read by itself
        found = tuple(each.moved(len(main.text) + 1) for each in found)
        source = replace(main, included=(source,))
    return replace(analyse(main), source=source, diagnostics=found)


@dataclass
class Workspace:
    """The files that an editor has open, by real path, and what is known of them and their neighbours."""

    open: dict[str, str] = field(default_factory=dict)
    _known: dict[str, tuple[Source | None, Analysis]] = field(default_factory=dict)

    def read(self, path: str | os.PathLike[str]) -> Source:
        """Return the text that is open, or that of the file; raises `LnetError` as `read_file` does."""
        text = self.open.get(os.path.realpath(path))
        if text is None:
            return read_file(path)
        return Source(text.removeprefix("\ufeff").replace("\r\n", "\n"), os.fspath(path))

    def analysis(self, path: str) -> Analysis:
        """Return what is known of a file, made anew if a text has changed; raises `LnetError` if it cannot be read."""
        main = self.read(path)
        try:
            source = read_source(path, self.read)
        except LnetError as error:
            return _without_others(main, error)
        before = self._known.get(path)
        if before is None or before[0] != source:
            before = self._known[path] = (source, analyse(source))
        return before[1]

    def around(self, path: str) -> Iterator[Analysis]:
        """Yield the analysis of a file, then those of open files, and of files in its folder, that include it."""
        yield self.analysis(path)
        beside = (str(each) for each in Path(path).parent.glob("*.lnet"))
        for other in dict.fromkeys((*self.open, *map(os.path.realpath, beside))):
            if other == path:
                continue
            try:
                analysis = self.analysis(other)
            except LnetError:
                continue
            if analysis.offset(path, 0) is not None:
                yield analysis

    def diagnostics(self, path: str) -> dict[str, list[tuple[Analysis, Diagnostic]]]:
        """Return what is wrong with a file and those around it, by the file in which it is.

        A file without a network is fine if another includes it.
        """
        own, *others = self.around(path)
        found: dict[str, list[tuple[Analysis, Diagnostic]]] = {path: []}
        seen = set()
        for analysis in (own, *others):
            for each in analysis.diagnostics:
                place = analysis.place(each.span or Span(0, 0))
                if others and analysis is own and each.code == NO_NETWORK:
                    continue
                if (each.code, place, each.message) not in seen:
                    seen.add((each.code, place, each.message))
                    found.setdefault(place.path, []).append((analysis, each))
        return found
