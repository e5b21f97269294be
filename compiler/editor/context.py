"""Where in a file a position is, from the tokens before it: a line that is being typed has no syntax tree yet.

V1: local(field = 5, stride = |     in the network, an item of the kind `local`, the value of its `stride`
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from lark import Token

from lnet.dsl.diagnostics import Collector
from lnet.dsl.lexer import span_of, tokenize
from lnet.dsl.source import Source

_BLOCKS = ("STAGE", "NETWORK", "TRAIN")
_CONTINUES = ("COLON", "EQUAL", "COMMA", "DOT", "PLUS", "MINUS", "STAR", "SLASH", "DOUBLE_SLASH")
_BLOCK = re.compile(r"^(?:stage|network|train)\b(?!\s*[:=])", re.MULTILINE)
"""The beginning of a block, before which nothing matters."""
_UNFINISHED_TEXT = "E104"


@dataclass(slots=True)
class Open:
    """An open parenthesis or bracket: what is called (empty: nothing), and its arguments so far.

    `number`: how many arguments are complete; `name`: that of the one that is not; `given`: the names of all.
    """

    call: str
    number: int = 0
    name: str = ""
    given: list[str] = field(default_factory=list)

    @property
    def positional(self) -> int:
        """How many arguments without names are complete."""
        return self.number - len(self.given) + bool(self.name)


@dataclass(slots=True)
class Context:
    """A position: the keyword and the name of its block, the tokens of its line, and the parentheses around it.

    A line ends where an item, a setting or a declaration does. `start`: where the name begins that is being typed.
    """

    start: int
    block: str = ""
    stage: str = ""
    line: list[Token] = field(default_factory=list)
    open: list[Open] = field(default_factory=list)

    @property
    def behind(self) -> str:
        """The type of the token before; empty at the beginning of a line."""
        return self.line[-1].type if self.line else ""

    @property
    def kind(self) -> str:
        """The kind of the item, as far as it is written."""
        return next((str(kind) for colon, kind in pairwise(self.line) if colon.type == "COLON"), "")

    @property
    def path(self) -> list[str]:
        """The names before a dot that the position is behind, without the numbers of items."""
        names: list[str] = []
        line = list(self.line)
        while line and line.pop().type == "DOT":
            if line and line[-1].type == "RSQB":
                while line and line.pop().type != "LSQB":
                    pass
            names.insert(0, str(line.pop()) if line else "")
        return names


def context_at(text: str, offset: int) -> Context | None:
    """Return where a position is, without a name that is being typed there; None in a comment or a text."""
    begin = max((each.start() for each in _BLOCK.finditer(text, 0, offset)), default=0)
    typed = text[begin:offset]
    collector = Collector(Source(typed))
    read = tokenize(collector)
    unfinished = [d.span.start for d in collector.diagnostics if d.code == _UNFINISHED_TEXT and d.span]
    dead = [*(comment.span.start for comment in read.comments), *unfinished]
    if dead and "\n" not in typed[max(dead) :]:
        return None
    tokens = list(read.tokens)
    found = Context(offset)
    if tokens and tokens[-1].end_pos == len(typed) and tokens[-1][0].isidentifier():
        found.start = begin + span_of(tokens.pop()).start
    before = ""
    for token, after in pairwise([*tokens, Token("$END", "")]):
        _read(found, token, before, after.type)
        before = token.type
    return found


def _read(at: Context, token: Token, before: str, after: str) -> None:
    """Go on by one token."""
    if before in ("", "NEWLINE") and (token.type in _BLOCKS or (token.type == "NAME" and after == "COLON")):
        at.line, at.open = [], []  # whatever was left open
    match token.type:
        case "NEWLINE" if at.open or at.behind in _CONTINUES:
            return
        case "NEWLINE" | "SEMICOLON":
            at.line, at.open = [], []
        case "LBRACE" if at.line and at.line[0].type in _BLOCKS:
            at.block = str(at.line[0])
            at.stage = str(at.line[1]) if at.block == "stage" else ""
            at.line, at.open = [], []
        case "RBRACE":
            at.block, at.stage, at.line, at.open = "", "", [], []
        case _:
            _inside(at, token)
            at.line.append(token)


def _inside(at: Context, token: Token) -> None:
    """Enter a token in the parentheses around it."""
    match token.type:
        case "LPAR" | "LSQB":
            called = token.type == "LPAR" and at.behind == "NAME"
            at.open.append(Open(str(at.line[-1]) if called else ""))
        case "RPAR" | "RSQB" if at.open:
            at.open.pop()
        case "COMMA" if at.open:
            at.open[-1].number, at.open[-1].name = at.open[-1].number + 1, ""
        case "EQUAL" if at.open and at.behind == "NAME":
            at.open[-1].name = str(at.line[-1])
            at.open[-1].given.append(at.open[-1].name)
