"""A lexer for Pygments, which colours .lnet files in documents: its entry point is in pyproject.toml."""

from __future__ import annotations

from typing import ClassVar

from pygments.lexer import RegexLexer, bygroups, default, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from .lexicon import lexicon

_NAMES = lexicon()
_KINDS = words((*_NAMES["kind"], *_NAMES["objective"]), suffix=r"(?=\s*\()")


class LnetLexer(RegexLexer):
    """Colours .lnet files: kinds behind `:`, names of arguments and settings before `=`, words and functions in values."""

    name = "lnet"
    aliases: ClassVar = ["lnet"]
    filenames: ClassVar = ["*.lnet"]
    tokens: ClassVar = {
        "root": [
            (r"[ \t\n]+", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (r'"', String.Double, "text"),
            (r"\d+(?:x\d+)+\b", Number.Integer),
            (r"\d+\.\d+(?:[eE][+-]?\d+)?\b|\d+[eE][+-]?\d+\b", Number.Float),
            (r"\d+\b", Number.Integer),
            (r"(stage|network)([ \t]+)([A-Za-z_]\w*)", bygroups(Keyword, Whitespace, Name.Class)),
            (r"(let)([ \t]+)([A-Za-z_]\w*)", bygroups(Keyword, Whitespace, Name.Constant)),
            (r"[A-Za-z_]\w*(?=[ \t]*=)", Name.Attribute),
            (r"[A-Za-z_]\w*(?=[ \t]*(?:\[[^\]\n]*\][ \t]*)?:)", Name.Label),
            (words(_NAMES["keyword"], suffix=r"\b"), Keyword),
            (words(_NAMES["constant"], suffix=r"\b"), Keyword.Constant),
            (r"(:)([ \t]*)", bygroups(Punctuation, Whitespace), "kind"),
            (r"(\.)(height|width|maps|patch)\b", bygroups(Punctuation, Name.Property)),
            (words(_NAMES["function"], suffix=r"(?=[ \t]*\()"), Name.Function),
            (
                words((*_NAMES["word"], *_NAMES["function"]), prefix=r"(?<!\.)", suffix=r"\b(?!\.)"),
                Name.Builtin,
            ),
            (r"[A-Za-z_]\w*", Name),
            (r"//|[-+*/=]", Operator),
            (r"[(){}\[\],;.]", Punctuation),
        ],
        "text": [(r'[^"\\\n]+', String.Double), (r"\\.", String.Escape), (r'"', String.Double, "#pop")],
        "kind": [
            (_KINDS, Name.Builtin, "#pop"),
            (r"[A-Za-z_]\w*", Name.Class, "#pop"),
            default("#pop"),
        ],
    }
