"""The language server: the questions of an editor, passed on to lnet.compiler.editor, and its answers as the protocol's.

Texts come whole with each change. Diagnostics follow a pause in typing, all else is answered at once, from an analysis that
is made anew when a text has changed. Nothing here knows the language.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

import lnet
from lnet.compiler.editor import completions, hovers, layout, symbols
from lnet.compiler.editor.workspace import Analysis, Place, Workspace
from lnet.compiler.plugins.load import load_plugins
from lnet.dsl.diagnostics import Diagnostic, LnetError
from lnet.dsl.source import Source, Span

PAUSE = 0.1
"""Seconds without a change after which diagnostics are told."""
KINDS = {
    "kind": types.CompletionItemKind.Class,
    "objective": types.CompletionItemKind.Event,
    "stage": types.CompletionItemKind.Module,
    "argument": types.CompletionItemKind.Property,
    "setting": types.CompletionItemKind.Property,
    "word": types.CompletionItemKind.EnumMember,
    "function": types.CompletionItemKind.Function,
    "parameter": types.CompletionItemKind.Variable,
    "let": types.CompletionItemKind.Constant,
    "layer": types.CompletionItemKind.Field,
    "extent": types.CompletionItemKind.Value,
    "keyword": types.CompletionItemKind.Keyword,
}


def serve() -> None:
    """Answer an editor on stdin and stdout until it says that it is done; raises `LnetError` for a wrong plug-in."""
    load_plugins()
    server = LanguageServer(
        "lnetc", lnet.__version__, text_document_sync_kind=types.TextDocumentSyncKind.Full
    )
    _Session(server)
    server.start_io()


class _Session:
    """What an editor has open, and the answers to its questions."""

    def __init__(self, server: LanguageServer) -> None:
        self.server = server
        self.workspace = Workspace()
        self.uris: dict[str, str] = {}
        self.told: set[str] = set()
        self.waiting: asyncio.Task[None] | None = None
        for method, answer in (
            (types.TEXT_DOCUMENT_DID_OPEN, self.opened),
            (types.TEXT_DOCUMENT_DID_CHANGE, self.changed),
            (types.TEXT_DOCUMENT_DID_SAVE, self.saved),
            (types.TEXT_DOCUMENT_DID_CLOSE, self.closed),
            (types.TEXT_DOCUMENT_HOVER, self.hover),
            (types.TEXT_DOCUMENT_DEFINITION, self.definition),
            (types.TEXT_DOCUMENT_REFERENCES, self.references),
            (types.TEXT_DOCUMENT_PREPARE_RENAME, self.before_rename),
            (types.TEXT_DOCUMENT_RENAME, self.rename),
            (types.TEXT_DOCUMENT_FORMATTING, self.formatting),
            (types.TEXT_DOCUMENT_CODE_LENS, self.lenses),
        ):
            server.feature(method)(partial(answer))  # pygls marks it, which a method does not allow
        triggers = types.CompletionOptions(trigger_characters=[":", "(", ",", "=", "."])
        server.feature(types.TEXT_DOCUMENT_COMPLETION, triggers)(partial(self.completion))

    # --- texts -------------------------------------------------------------------------------------------

    def opened(self, params: types.DidOpenTextDocumentParams) -> None:
        self._keep(params.text_document.uri, 0)

    def changed(self, params: types.DidChangeTextDocumentParams) -> None:
        self._keep(params.text_document.uri, PAUSE)

    def saved(self, params: types.DidSaveTextDocumentParams) -> None:
        self._keep(params.text_document.uri, 0)

    def closed(self, params: types.DidCloseTextDocumentParams) -> None:
        self.workspace.open.pop(self._path(params.text_document.uri), None)
        self._tell_in(0)

    def _keep(self, uri: str, pause: float) -> None:
        path = self._path(uri)
        self.uris[path] = uri
        self.workspace.open[path] = self.server.workspace.get_text_document(uri).source
        self._tell_in(pause)

    def _path(self, uri: str) -> str:
        """Return the real path of a file; an unsaved text has its URI as one."""
        return os.path.realpath((to_fs_path(uri) if uri.startswith("file:") else None) or uri)

    # --- diagnostics -------------------------------------------------------------------------------------

    def _tell_in(self, pause: float) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
        self.waiting = asyncio.ensure_future(self._tell(pause))

    async def _tell(self, pause: float) -> None:
        await asyncio.sleep(pause)
        found: dict[str, list[types.Diagnostic]] = {}
        for path in self.workspace.open:
            for file, mistakes in self.workspace.diagnostics(path).items():
                shown = [self._diagnostic(*each) for each in mistakes]
                kept = found.setdefault(file, [])
                kept += [each for each in shown if each not in kept]
        for path in self.told - set(found):
            found[path] = []
        for path, diagnostics in found.items():
            self.server.text_document_publish_diagnostics(
                types.PublishDiagnosticsParams(self._uri(path), diagnostics, self._version(path))
            )
        self.told = {path for path, diagnostics in found.items() if diagnostics}

    def _version(self, path: str) -> int | None:
        """Return the version of a text that is open."""
        if path not in self.workspace.open:
            return None
        version: int | None = self.server.workspace.get_text_document(self._uri(path)).version
        return version

    def _diagnostic(self, analysis: Analysis, found: Diagnostic) -> types.Diagnostic:
        severity = types.DiagnosticSeverity
        further = (*(f"note: {note}" for note in found.notes), *(f"hint: {hint}" for hint in found.hints))
        return types.Diagnostic(
            self._span(analysis, found.span or Span(0, 0)),
            "\n".join((found.message, *([found.label] if found.label else []), *further)),
            severity.Warning if found.is_warning else severity.Error,
            found.code,
            source="lnetc",
            related_information=[
                types.DiagnosticRelatedInformation(self._location(analysis.place(span)), text or "see also")
                for span, text in found.related
            ],
        )

    # --- answers -----------------------------------------------------------------------------------------

    def hover(self, params: types.HoverParams) -> types.Hover | None:
        path, offset = self._at(params.text_document, params.position)
        found = hovers.hover(self.workspace.around(path), path, offset)
        if found is None or not found[0]:
            return None
        text, span = found
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text), self._range(path, span))

    def completion(self, params: types.CompletionParams) -> list[types.CompletionItem]:
        path, offset = self._at(params.text_document, params.position)
        text = self.workspace.read(path).text
        return [
            types.CompletionItem(
                each.name,
                kind=KINDS[each.what],
                detail=each.what,
                documentation=types.MarkupContent(types.MarkupKind.Markdown, each.reference),
                insert_text=each.text,
                sort_text=f"{number:04}",
            )
            for number, each in enumerate(
                completions.completions(self.workspace.analysis(path), text, offset)
            )
        ]

    def definition(self, params: types.DefinitionParams) -> list[types.Location]:
        path, offset = self._at(params.text_document, params.position)
        return [*map(self._location, symbols.definition(self.workspace.around(path), path, offset))]

    def references(self, params: types.ReferenceParams) -> list[types.Location]:
        path, offset = self._at(params.text_document, params.position)
        declarations = None if params.context.include_declaration else False
        found = symbols.places(self.workspace.around(path), path, offset, declarations)
        return [*map(self._location, found)]

    def before_rename(self, params: types.PrepareRenameParams) -> types.PrepareRenamePlaceholder | None:
        path, offset = self._at(params.text_document, params.position)
        analysis = self.workspace.analysis(path)
        symbol, meaning = symbols.symbol_at(analysis, offset), analysis.meaning(offset)
        if symbol is None or meaning is None:
            return None
        return types.PrepareRenamePlaceholder(self._range(path, meaning.span), symbol.name)

    def rename(self, params: types.RenameParams) -> types.WorkspaceEdit:
        path, offset = self._at(params.text_document, params.position)
        try:
            places = symbols.rename(self.workspace, path, offset, params.new_name)
        except symbols.CannotRename as error:
            raise JsonRpcInvalidParams(str(error)) from error
        changes: dict[str, list[types.TextEdit]] = {}
        for place in places:
            edit = types.TextEdit(self._range(place.path, place.span), params.new_name)
            changes.setdefault(self._uri(place.path), []).append(edit)
        return types.WorkspaceEdit(changes)

    def formatting(self, params: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
        path = self._path(params.text_document.uri)
        try:
            edits = layout.formatted(self.workspace.read(path).text)
        except LnetError:  # its diagnostics are told already
            return None
        return [types.TextEdit(self._range(path, span), text) for span, text in edits]

    def lenses(self, params: types.CodeLensParams) -> list[types.CodeLens]:
        path = self._path(params.text_document.uri)
        analysis = self.workspace.analysis(path)
        found = hovers.network_totals(analysis)
        if found is None:
            return []
        text, span = found
        return [types.CodeLens(self._range(path, span), types.Command(text, ""))]

    # --- places ------------------------------------------------------------------------------------------

    def _at(self, document: types.TextDocumentIdentifier, position: types.Position) -> tuple[str, int]:
        """Return the path of a text, and a position in it."""
        path = self._path(document.uri)
        lines = self.workspace.read(path).text.split("\n")
        place = self.server.workspace.position_codec.position_from_client_units(lines, position)
        before = sum(len(line) + 1 for line in lines[: place.line])
        return path, before + place.character

    def _range(self, path: str, span: Span) -> types.Range:
        return self._range_in(self.workspace.read(path), span)

    def _span(self, analysis: Analysis, span: Span) -> types.Range:
        file, start = analysis.source.at(span.start)
        return self._range_in(file, span.moved(start - span.start))

    def _range_in(self, source: Source, span: Span) -> types.Range:
        return types.Range(*(self._position(source, offset) for offset in (span.start, span.end)))

    def _position(self, source: Source, offset: int) -> types.Position:
        line, column = source.position(offset)
        codec = self.server.workspace.position_codec
        return types.Position(line - 1, codec.client_num_units(source.line(line)[: column - 1]))

    def _location(self, place: Place) -> types.Location:
        return types.Location(self._uri(place.path), self._range(place.path, place.span))

    def _uri(self, path: str) -> str:
        return self.uris.get(path) or from_fs_path(path) or path


__all__ = ["serve"]
