"""The grammar by which VS Code colours .lnet files, made of the language's own names: `make docs`.

A test compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lnet.compiler.editor.lexicon import lexicon

GRAMMAR = Path(__file__).parents[1] / "editors/vscode/syntaxes/lnet.tmLanguage.json"
NAME = r"[A-Za-z_]\w*"


def grammar() -> dict[str, Any]:
    """Return the grammar in the form of TextMate."""
    names = {part: rf"(?:{'|'.join(found)})" for part, found in lexicon().items()}
    kinds = f"{names['kind'][:-1]}|{names['objective'][3:]}"
    patterns = [
        ("comment.line.number-sign.lnet", r"#.*$"),
        ("constant.numeric.size.lnet", r"\b\d+(?:x\d+)+\b"),
        ("constant.numeric.lnet", r"\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b"),
        ("entity.other.attribute-name.lnet", rf"\b{NAME}(?=\s*=)"),
        ("variable.other.item.lnet", rf"\b{NAME}(?=\s*(?:\[[^\]]*\]\s*)?:)"),
        ("keyword.control.lnet", rf"\b{names['keyword']}\b"),
        ("constant.language.lnet", rf"\b{names['constant']}\b"),
        ("variable.other.property.lnet", r"(?<=\.)(?:height|width|maps|patch)\b"),
        ("support.function.lnet", rf"(?<![\w.]){names['function']}(?=\s*\()"),
        ("support.constant.lnet", rf"(?<![\w.])(?:{names['word'][3:-1]}|{names['function'][3:-1]})\b(?!\.)"),
        ("keyword.operator.lnet", r"//|[-+*/=]"),
    ]
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "lnet",
        "scopeName": "source.lnet",
        "fileTypes": ["lnet"],
        "patterns": [
            _text(),
            _pair(rf"\b(stage|network)\s+({NAME})", "keyword.control.lnet", "entity.name.type.lnet"),
            _pair(rf"\b(let)\s+({NAME})", "keyword.control.lnet", "variable.other.constant.lnet"),
            _pair(rf"(:)\s*({kinds})(?=\s*\()", "punctuation.separator.lnet", "support.type.lnet"),
            _pair(rf"(:)\s*({NAME})(?=\s*\()", "punctuation.separator.lnet", "entity.name.type.lnet"),
            *({"name": scope, "match": pattern} for scope, pattern in patterns),
        ],
    }


def _text() -> dict[str, Any]:
    escapes = [{"name": "constant.character.escape.lnet", "match": r'\\["\\n]'}]
    return {"name": "string.quoted.double.lnet", "begin": '"', "end": r'"|$', "patterns": escapes}


def _pair(pattern: str, first: str, second: str) -> dict[str, Any]:
    return {"match": pattern, "captures": {"1": {"name": first}, "2": {"name": second}}}


def written() -> str:
    """Return the grammar as a file holds it."""
    return json.dumps(grammar(), indent=2) + "\n"


if __name__ == "__main__":
    GRAMMAR.write_text(written(), encoding="utf-8")
