"""Tokens in the user's words: what was expected, and what was found."""

from __future__ import annotations

from lark import Token

from .lexer import shortened


def in_words(token: Token) -> str:
    """Return the token that was found."""
    if token.type == "$END":
        return "the end of the file"
    if token.type == "END":
        return "';'" if str(token) == ";" else "'}'" if str(token) == "}" else "the end of the line"
    return f"'{shortened(token)}'"


_WORDS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "END": "the end of the line",
    "$END": "the end of the file",
    "RBRACE": "'}'",
    "LBRACE": "'{'",
    "RPAR": "')'",
    "LPAR": "'('",
    "RSQB": "']'",
    "COMMA": "','",
    "COLON": "':'",
    "EQUAL": "'='",
    "LNET": "'lnet'",
    "LET": "'let'",
    "STAGE": "'stage'",
    "NETWORK": "'network'",
    "TRAIN": "'train'",
    "INCLUDE": "'include'",
}
_OPERATORS = frozenset(("PLUS", "MINUS", "STAR", "SLASH", "DOUBLE_SLASH", "DOT"))


def expected_words(accepts: set[str]) -> str:
    """Return the kinds of token that could have stood there."""
    if "NUMBER" in accepts and "STRING" in accepts:
        words = ["a value"] + [_WORDS[kind] for kind in ("RPAR", "RSQB") if kind in accepts]
    else:
        words = [word for kind, word in _WORDS.items() if kind in accepts - _OPERATORS]
    if len(words) <= 1:
        return words[0] if words else "nothing more"
    return ", ".join(words[:-1]) + " or " + words[-1]
