"""Text to tokens. Invalid text is reported and left out; newlines are kept, because they may end an item."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lark import Token

from .diagnostics import Collector, Diagnostic
from .nodes import KEYWORDS, Comment
from .source import Span

CONSTANTS = {"true": True, "false": False, "none": None}
MOST_DIGITS = 18
_OPENING = frozenset(("LPAR", "LSQB", "LBRACE"))
_CLOSING = frozenset(("RPAR", "RSQB", "RBRACE"))

_TOKEN = re.compile(
    r"""
    (?P<blank>    [ \t]+ )
  | (?P<newline>  \n )
  | (?P<comment>  \#[^\n]* )
  | (?P<size>     \d+(?:x\d+)+(?![\w.]) )
  | (?P<badsize>  \d+(?:[ \t]*[xX×][ \t]*\d+)+(?![\w.]) )
  | (?P<number>   \d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]) )
  | (?P<badnumber>\d[\w.]* )
  | (?P<name>     [A-Za-z_]\w* )
  | (?P<string>   "(?:[^"\\\n]|\\[^\n])*" )
  | (?P<badstring>"[^\n]* )
  | (?P<symbol>   //|[-(){}\[\],:;=.+*/] )
  | (?P<junk>     [^\s\w\#"(){}\[\],:;=.+*/-]+ | [^\n] )
    """,
    re.VERBOSE | re.ASCII,
)

SYMBOLS = {
    "(": "LPAR",
    ")": "RPAR",
    "{": "LBRACE",
    "}": "RBRACE",
    "[": "LSQB",
    "]": "RSQB",
    ",": "COMMA",
    ":": "COLON",
    ";": "SEMICOLON",
    "=": "EQUAL",
    ".": "DOT",
    "+": "PLUS",
    "-": "MINUS",
    "*": "STAR",
    "/": "SLASH",
    "//": "DOUBLE_SLASH",
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a source, newlines among them, and its comments."""

    tokens: tuple[Token, ...]
    comments: tuple[Comment, ...]


def tokenize(collector: Collector) -> Tokens:
    """Return the tokens of the collector's source; invalid text is reported."""
    lexer = _Lexer(collector)
    for match in _TOKEN.finditer(collector.source.text):
        if match.lastgroup != "blank":
            getattr(lexer, str(match.lastgroup))(match.group(), Span(*match.span()))
    includes = "include" in collector.source.text
    return Tokens(tuple(_including(lexer.tokens) if includes else lexer.tokens), tuple(lexer.comments))


def _including(tokens: Sequence[Token]) -> Iterator[Token]:
    """Turn the name `include` into a keyword where a declaration begins and a text follows."""
    depth, before = 0, "NEWLINE"
    for number, token in enumerate(tokens):
        depth += (token.type in _OPENING) - (token.type in _CLOSING)
        follows = tokens[number + 1].type if number + 1 < len(tokens) else ""
        begins = depth == 0 and before in ("NEWLINE", "SEMICOLON", "RBRACE")
        if token == "include" and token.type == "NAME" and begins and follows == "STRING":
            token = Token.new_borrow_pos("INCLUDE", token, token)
        yield token
        before = token.type


class _Lexer:
    """One method for each group of the pattern."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.tokens: list[Token] = []
        self.comments: list[Comment] = []
        self.line_has_code = False

    def _add(self, kind: str, text: str, span: Span) -> None:
        self.tokens.append(Token(kind, text, start_pos=span.start, end_pos=span.end))
        self.line_has_code = True

    def _report(self, code: str, message: str, span: Span, *hints: str) -> None:
        self.collector.add(Diagnostic(code, message, span, hints=hints))

    def newline(self, text: str, span: Span) -> None:
        self._add("NEWLINE", text, span)
        self.line_has_code = False

    def comment(self, text: str, span: Span) -> None:
        self.comments.append(Comment(span, text.rstrip(), self.line_has_code))

    def size(self, text: str, span: Span) -> None:
        parts = text.split("x")
        if len(parts) > 3:
            self._report(
                "E107", f"a size has two or three numbers, found {len(parts)} in '{shortened(text)}'", span
            )
        elif any(len(part) > MOST_DIGITS for part in parts):
            self._report("E107", f"a number in a size has at most {MOST_DIGITS} digits", span)
        self._add("SIZE", text if len(text) < 100 else "1x1", span)

    def badsize(self, text: str, span: Span) -> None:
        """A size with blanks in it, a large X or a multiplication sign."""
        meant = "x".join(re.findall(r"\d+", text))
        self._report(
            "E107", f"a size is one word, found '{shortened(text)}'", span, f"write {shortened(meant)}"
        )
        self._add("SIZE", meant if meant.count("x") < 3 and len(meant) < 60 else "1x1", span)

    def number(self, text: str, span: Span) -> None:
        if text.isdecimal():
            if len(text) > MOST_DIGITS:
                self._report("E106", f"an integer has at most {MOST_DIGITS} digits, found {len(text)}", span)
                text = "1"
        elif not math.isfinite(float(text)):
            self._report("E106", f"the number '{shortened(text)}' is too large", span)
            text = "1"
        self._add("NUMBER", text, span)

    def badnumber(self, text: str, span: Span) -> None:
        self._report(
            "E106",
            f"'{shortened(text)}' is neither a number nor a size",
            span,
            "numbers are written 18, 0.01 or 1e-3, sizes 18x18 or 200x200x3; names begin with a letter",
        )
        self._add("NUMBER", "1", span)

    def name(self, text: str, span: Span) -> None:
        kind = text.upper() if text in KEYWORDS else "CONSTANT" if text in CONSTANTS else "NAME"
        self._add(kind, text, span)

    def string(self, text: str, span: Span) -> None:
        for escape in re.finditer(r"\\(.)", text):
            if escape.group(1) not in '"\\n':
                place = Span(span.start + escape.start(), span.start + escape.end())
                self._report(
                    "E105", f"a text has no escape '{escape.group()}'", place, r"it has \", \\ and \n"
                )
        self._add("STRING", text, span)

    def badstring(self, text: str, span: Span) -> None:
        self._report(
            "E104", "a text ends on the line where it begins, with '\"'", Span(span.start, span.start + 1)
        )
        self._add("STRING", '""', span)

    def symbol(self, text: str, span: Span) -> None:
        self._add(SYMBOLS[text], text, span)

    def junk(self, text: str, span: Span) -> None:
        shown = text if text.isprintable() else ascii(text).strip("'")
        hints = ('a text stands between double quotes: "photos"',) if text[0] in "'`‘’“”" else ()
        self._report("E005", f"the language has no character '{shortened(shown)}'", span, *hints)


def span_of(token: Token) -> Span:
    """Return the place of a token."""
    return Span(token.start_pos or 0, token.end_pos or 0)


def shortened(text: str) -> str:
    """Return a text as messages quote it: only the beginning of a long one."""
    return text if len(text) <= 40 else text[:37] + "..."


def unescape(text: str) -> str:
    """Return the value of a string token."""
    return re.sub(r"\\(.)", lambda m: "\n" if m.group(1) == "n" else m.group(1), text[1:-1])
