"""The newlines that end an item.

A newline or `;` ends an item, and so do a closing brace and the end of the file; inside `( )` and `[ ]`, after an
operator and before a `{` newlines have no meaning. The parser sees one END for each item and no newline.
"""

from __future__ import annotations

from collections.abc import Sequence

from lark import Token

_OPEN = frozenset(("LPAR", "LSQB"))
_CLOSE = frozenset(("RPAR", "RSQB"))
_CONTINUES = frozenset(
    ("PLUS", "MINUS", "STAR", "SLASH", "DOUBLE_SLASH", "EQUAL", "COLON", "COMMA", "DOT", "LPAR", "LSQB")
)
_ENDS_NOTHING = frozenset(("", "END", "BROKEN", "LBRACE", "RBRACE"))


class Layout:
    """Reads tokens one by one, with an END token after each item. `index` is the next token."""

    def __init__(self, tokens: Sequence[Token], end: int) -> None:
        self.tokens = tokens
        self.eof = Token("$END", "", start_pos=end, end_pos=end)
        self.index = 0
        self.depth = 0
        self.previous = ""

    def next(self) -> Token:
        """Return the next token of the grammar; at the end always `$END`."""
        while self.index < len(self.tokens):
            token = self.tokens[self.index]
            if token.type in ("NEWLINE", "SEMICOLON"):
                self.index += 1
                if self._ends_item(token):
                    return self._emit(_end_at(token))
            elif token.type == "RBRACE" and self.previous not in _ENDS_NOTHING:
                return self._emit(_end_at(token))
            else:
                self.index += 1
                self.depth = max(0, self.depth + (token.type in _OPEN) - (token.type in _CLOSE))
                return self._emit(token)
        if self.previous not in _ENDS_NOTHING:
            return self._emit(_end_at(self.eof))
        return self.eof

    def go_on_at(self, index: int) -> None:
        """Continue at a token at which an item or a declaration begins, or a block ends."""
        self.index = index
        self.depth = 0
        self.previous = "BROKEN"

    def _ends_item(self, token: Token) -> bool:
        if self.previous in _ENDS_NOTHING:
            return False
        if token.type == "SEMICOLON":
            return True
        if self.depth or self.previous in _CONTINUES:
            return False
        while self.index < len(self.tokens) and self.tokens[self.index].type == "NEWLINE":
            self.index += 1
        return self.index == len(self.tokens) or self.tokens[self.index].type != "LBRACE"

    def _emit(self, token: Token) -> Token:
        self.previous = token.type
        return token


def _end_at(token: Token) -> Token:
    return Token("END", token.value, start_pos=token.start_pos, end_pos=token.start_pos)
