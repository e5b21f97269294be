"""Tokens to a module: lark's LALR automaton, fed token by token, with recovery after an error.

The automaton's state is saved at the start of every item and declaration. After an error it is restored, tokens are
skipped up to the next possible start of an item or a declaration, or end of a block, and one BROKEN token stands for
the skipped ones:

    V1: local(5, , 8)        error: reported once, then skipped
    ^ state kept here
    V2: l2pool(3)            read on from here with   BROKEN("V1")
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from lark import Lark, Token, UnexpectedToken
from lark.lexer import Lexer
from lark.parsers.lalr_interactive_parser import InteractiveParser

from . import nodes
from .builder import Builder
from .diagnostics import Collector, Diagnostic
from .including import moved, report_unread, with_included
from .layout import Layout
from .lexer import Tokens, span_of, tokenize
from .nodes import KEYWORDS
from .source import Source, Span
from .syntax_hints import COMMENT, CONSTANTS, syntax_hints
from .token_words import expected_words, in_words

VERSIONS = (1, 2)
DEEPEST = 64
MOST_ERRORS = 50

Stacks = tuple[list[Any], list[Any]]
"""States and values of the automaton."""

_DECLARATIONS = frozenset(("LET", "STAGE", "NETWORK", "TRAIN", "INCLUDE"))


def parse(text: str, name: str = "<text>") -> nodes.Module:
    """Return the module parsed from a text; raises `LnetError` with all syntax errors."""
    collector = Collector(Source(text, name))
    module = parse_source(collector)
    collector.raise_errors()
    return module


def parse_source(collector: Collector) -> nodes.Module:
    """Return the module of the collector's source, with `Broken` nodes where errors were reported.

    Declarations of included files stand behind its own.
    """
    source = collector.source
    if not source.included:
        module = parse_file(collector)
        report_unread(module, collector)
        return module
    modules = []
    for file, start in zip(source.files, source.starts, strict=True):
        own = Collector(file)
        modules.append(moved(parse_file(own), start))
        for found in own.diagnostics:
            collector.add(found.moved(start))
    return with_included(modules, collector)


def parse_file(collector: Collector) -> nodes.Module:
    """Return the module of a file, without those that it includes."""
    tokens = tokenize(collector)
    if all(token.type == "NEWLINE" for token in tokens.tokens):
        collector.add(Diagnostic("E004", "expected declarations such as a network, found none", Span(0, 0)))
        return nodes.Module(None, (), tokens.comments)
    return _Parser(collector, tokens).module()


@cache
def _automaton() -> Lark:
    grammar = Path(__file__).with_name("lnet.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        start="module",
        parser="lalr",
        lexer=_NoLexer,
        transformer=Builder(),
        keep_all_tokens=True,
        maybe_placeholders=False,
    )


class _NoLexer(Lexer):
    """A dummy lexer for Lark: tokens are fed by hand."""

    def __init__(self, configuration: Any) -> None:
        pass

    def lex(self, lexer_state: Any, parser_state: Any) -> Iterator[Token]:
        return iter(())


class _Parser:
    """Feeds the automaton and recovers from errors."""

    def __init__(self, collector: Collector, tokens: Tokens) -> None:
        self.collector = collector
        self.comments = tokens.comments
        self.layout = Layout(tokens.tokens, len(collector.source.text))
        self.automaton: InteractiveParser = _automaton().parse_interactive("")
        self.kept: Stacks = ([], [])
        self.fed: list[Token] = []
        self.item_start = 0
        self.open_brace: Token | None = None
        self.nesting: list[int] = []
        self.minuses = 0
        self.errors = 0

    def module(self) -> nodes.Module:
        self._keep()
        while self.errors < MOST_ERRORS:
            token = self.layout.next()
            if not self._feed(token):
                continue
            if token.type == "$END":
                module: nodes.Module = self.result
                self._check_version(module.version)
                return nodes.Module(module.version, module.declarations, self.comments)
        self.collector.add(
            Diagnostic(
                "E110", f"more than {MOST_ERRORS} syntax errors: reading stopped here", self._span_here()
            )
        )
        return nodes.Module(None, (nodes.Broken(self._span_here(), None),), self.comments)

    # --- one token ---------------------------------------------------------------------------------------

    def _feed(self, token: Token) -> bool:
        if self._too_deep(token):
            self._report(Diagnostic("E103", f"nested more than {DEEPEST} levels deep", span_of(token)))
            self._recover(token)
            return False
        try:
            self.result = self.automaton.feed_token(token)
        except UnexpectedToken:
            if not self._in_unfinished_text():
                self._report(self._unexpected(token))
            self._recover(token)
            return False
        self.fed.append(token)
        if token.type == "LBRACE":
            self.open_brace = token
        elif token.type == "RBRACE":
            self.open_brace = None
        if token.type in ("END", "LBRACE", "RBRACE", "BROKEN"):
            self._keep()
        return True

    def _keep(self) -> None:
        """Save the state, to be restored after an error in the tokens that follow."""
        state = self.automaton.parser_state
        self.kept = (list(state.state_stack), list(state.value_stack))
        self.fed = []
        self.item_start = self.layout.index
        self.nesting, self.minuses = [], 0

    def _restored(self) -> InteractiveParser:
        """Return an automaton in the saved state; values are immutable, so that stacks of them can be copied."""
        found: InteractiveParser = self.automaton.copy(deepcopy_values=False)  # type: ignore[no-untyped-call]
        found.parser_state.state_stack, found.parser_state.value_stack = map(list, self.kept)
        return found

    def _too_deep(self, token: Token) -> bool:
        """Count open brackets and the minus signs in front of their contents."""
        if token.type in ("LPAR", "LSQB"):
            self.nesting.append(self.minuses)
            self.minuses = 0
        elif token.type in ("RPAR", "RSQB") and self.nesting:
            self.minuses = 0
            self.nesting.pop()
        elif token.type == "MINUS":
            self.minuses += 1
        elif token.type != "NEWLINE":
            self.minuses = 0
        return len(self.nesting) + sum(self.nesting) + self.minuses > DEEPEST

    # --- recovery ----------------------------------------------------------------------------------------

    def _recover(self, token: Token) -> None:
        """Restore the automaton to the item's start and continue at the next possible one."""
        self.automaton = self._restored()
        resume = self._next_start(token)
        name = self._broken_name()
        self.layout.go_on_at(resume)
        self._keep()
        place = {"start_pos": token.start_pos, "end_pos": token.end_pos}
        self._feed_quietly(Token("BROKEN", name, **place))
        declaration_follows = resume == len(self.layout.tokens) or self._declares(resume)
        if self.open_brace is not None and declaration_follows:
            self._feed_quietly(Token("RBRACE", "}", **place))

    def _feed_quietly(self, token: Token) -> None:
        if token.type in _accepted_by(self.automaton):
            self._feed(token)
            self.layout.previous = token.type

    def _next_start(self, token: Token) -> int:
        """Return the index of the next token at which an item or a declaration can begin, or a block end."""
        tokens, depth = self.layout.tokens, self.layout.depth
        at_top = self.open_brace is None and not (self.fed and self.fed[0].type == "LET")
        index = max(self._index_of(token), self.item_start)
        if self.open_brace is not None:  # an open parenthesis may have swallowed the name of the next item
            behind = (at for at in range(self.item_start, index) if tokens[at].type != "NEWLINE")
            index = next(filter(self._names_item, islice(behind, 1, None)), index)
        if index == self.item_start and index < len(tokens) and not (self._declares(index) and not at_top):
            index += 1  # guarantees progress
        while index < len(tokens):
            kind = tokens[index].type
            if self._declares(index):
                return index
            if not at_top:
                if self.open_brace is not None and (kind == "RBRACE" or self._begins_item(index)):
                    return index
                if kind in ("NEWLINE", "SEMICOLON") and depth == 0:
                    return index + 1
                depth = max(0, depth + (kind in ("LPAR", "LSQB")) - (kind in ("RPAR", "RSQB")))
            index += 1
        return index

    def _index_of(self, token: Token) -> int:
        """Return the index of the token that the automaton refused."""
        index = self.layout.index
        tokens = self.layout.tokens
        while index > 0 and (tokens[index - 1].start_pos or 0) >= (token.start_pos or 0):
            index -= 1
        return index

    def _at_line_start(self, index: int) -> bool:
        return index == 0 or self.layout.tokens[index - 1].type in ("NEWLINE", "SEMICOLON", "RBRACE")

    def _declares(self, index: int) -> bool:
        """Whether a declaration begins at a token: a keyword on a new line that is not an item's name."""
        tokens = self.layout.tokens
        if tokens[index].type not in _DECLARATIONS or not self._at_line_start(index):
            return False
        return index + 1 == len(tokens) or tokens[index + 1].type not in ("COLON", "EQUAL")

    def _names_item(self, index: int) -> bool:
        """Whether an item `NAME: ...` begins at a token, which an argument of several lines never does."""
        return self._begins_item(index, ("COLON",))

    def _begins_item(self, index: int, behind_name: tuple[str, ...] = ("COLON", "EQUAL")) -> bool:
        tokens = self.layout.tokens
        if not self._at_line_start(index) or tokens[index].type not in ("NAME", *_DECLARATIONS):
            return False
        after = index + 1
        if after < len(tokens) and tokens[after].type == "LSQB":  # a family: NAME[count]: KIND(...)
            while after < len(tokens) and tokens[after].type not in ("RSQB", "NEWLINE", "SEMICOLON"):
                after += 1
            after += 1
        return after < len(tokens) and tokens[after].type in behind_name

    def _broken_name(self) -> str:
        """Return the name that the broken item or declaration would have defined, if it got that far."""
        tokens = [t for t in self.layout.tokens[self.item_start : self.item_start + 8] if t.type != "NEWLINE"]
        if self.open_brace is None:
            tokens = tokens[1:] if tokens and tokens[0].type in _DECLARATIONS else []
        return str(tokens[0]) if tokens and tokens[0].type == "NAME" else ""

    # --- reports -----------------------------------------------------------------------------------------

    def _report(self, diagnostic: Diagnostic) -> None:
        self.errors += 1
        self.collector.add(diagnostic)

    def _span_here(self) -> Span:
        end = len(self.collector.source.text)
        index = self.layout.index
        return span_of(self.layout.tokens[index]) if index < len(self.layout.tokens) else Span(end, end)

    def _acceptable(self) -> set[str]:
        """Return the kinds of token that could have stood where an error was found.

        The automaton may have reduced too far on the wrong token, so the item is parsed again up to that point.
        """
        again = self._restored()
        for token in self.fed:
            again.feed_token(token)
        return _accepted_by(again)

    def _block_left_open(self, token: Token) -> bool:
        if self.open_brace is None or self.fed:
            return False
        return token.type == "$END" or (token.type in _DECLARATIONS and self._declares(self._index_of(token)))

    def _in_unfinished_text(self) -> bool:
        """Whether an unclosed string, already reported, has swallowed the missing token."""
        starts = {d.span.start for d in self.collector.diagnostics if d.code == "E104" and d.span is not None}
        return any(token.start_pos in starts for token in self.fed)

    def _unexpected(self, token: Token) -> Diagnostic:
        expected = self._acceptable()
        if self.open_brace is not None and self._block_left_open(token):
            return Diagnostic(
                "E102",
                f"expected '}}' before {in_words(token)}",
                span_of(token),
                related=((span_of(self.open_brace), "opened here"),),
            )
        if "NAME" in expected and "NUMBER" not in expected and str(token) in KEYWORDS:
            return Diagnostic(
                "E109",
                f"expected {expected_words(expected)}, found '{token}', which is a keyword",
                span_of(token),
                hints=(CONSTANTS,) if token == "let" else (),
            )
        return Diagnostic(
            "E101",
            f"expected {expected_words(expected)}, found {in_words(token)}",
            span_of(token),
            hints=self._hints(token, expected),
        )

    def _hints(self, token: Token, expected: set[str]) -> tuple[str, ...]:
        text, start = self.collector.source.text, token.start_pos or 0
        on_line = [str(t) for t in (*self.fed, token) if self._line(t) == self._line(token)]
        if "//" in on_line or text.startswith(("/*", "--", "%"), start):
            return (COMMENT,)
        return syntax_hints((*self.fed, token), expected, text)

    def _line(self, token: Token) -> int:
        return self.collector.source.position(token.start_pos or 0)[0]

    def _check_version(self, version: nodes.Number | None) -> None:
        if version is not None and version.value not in VERSIONS:
            self.collector.add(
                Diagnostic(
                    "E108",
                    f"this program reads versions {' and '.join(map(str, VERSIONS))} of the language, "
                    f"found version {version.text}",
                    version.span,
                )
            )


def _accepted_by(automaton: InteractiveParser) -> set[str]:
    accepted: set[str] = automaton.accepts()  # type: ignore[no-untyped-call]
    return accepted
