"""What colours .lnet files knows the language, and has a colour for all of it."""

import importlib
import tomllib
from pathlib import Path

import pytest
from pygments.token import Comment, Error, Keyword, Name, Number, String

from docs import grammar
from lnet.compiler.editor.highlighting import LnetLexer

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.glob("examples/*/*.lnet"))


def test_the_entry_point_is_the_lexer():
    with open(ROOT / "pyproject.toml", "rb") as file:
        (place,) = tomllib.load(file)["project"]["entry-points"]["pygments.lexers"].values()
    module, _, name = place.partition(":")
    assert getattr(importlib.import_module(module), name) is LnetLexer


def test_the_grammar_of_editors_knows_the_language():
    assert grammar.GRAMMAR.read_text(encoding="utf-8") == grammar.written(), "make docs writes it anew"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_examples_are_coloured_to_the_last_character(path):
    found = list(LnetLexer().get_tokens(path.read_text()))
    assert "".join(text for _, text in found) == path.read_text().lstrip("\n")
    assert [text for kind, text in found if kind is Error] == []


def test_each_part_of_the_language_has_its_own_colour():
    text = (
        'include "a.lnet"\nlet k = 3\nstage sense(maps) { filter: local(k, maps, act = relu) }  # why\n'
        "network n { image: input(8x8x1); V[2]: sense(V1.height); learn: cross_entropy(weight = between(0, 1.5)) }\n"
        "train { update = adam(0.1); keep_best = none }\n"
    )
    found = {text: kind for kind, text in LnetLexer().get_tokens(text)}
    for kind, some in {
        Keyword: ("include", "let", "stage", "network", "train"),
        Keyword.Constant: ("none",),
        Name.Builtin: ("local", "input", "cross_entropy", "relu"),
        Name.Function: ("adam", "between"),
        Name.Class: ("sense", "n"),
        Name.Attribute: ("act", "weight", "update", "keep_best"),
        Name.Label: ("filter", "image", "V", "learn"),
        Name.Property: ("height",),
        Number.Integer: ("8x8x1", "3"),
        Number.Float: ("1.5", "0.1"),
        Comment.Single: ("# why",),
        String.Double: ("a.lnet",),
    }.items():
        assert {each: found[each] for each in some} == dict.fromkeys(some, kind)


@pytest.mark.parametrize("text", ["let a = é", 'let a = "open', "network n { 3: local( }", "a = 12ab"])
def test_what_is_no_text_of_the_language_ends_nothing(text):
    found = list(LnetLexer().get_tokens(text))
    assert "".join(part for _, part in found) == text + "\n"
