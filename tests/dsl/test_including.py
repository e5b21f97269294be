"""`include`: which files are read, in which order, and which of them a place is in."""

import json
import os
from pathlib import Path

import pytest
from commands import lnetc

import lnet
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.plan import load_plan
from lnet.dsl.diagnostics import LnetError
from lnet.dsl.printer import format_source
from lnet.dsl.reader import read_file
from lnet.dsl.source import Source
from lnet.dsl.sources import read_source

MAIN = """include "parts/stages.lnet"
network n { image: input(12x12x1); V1: sense(wide); learn: l2() }
train { data = images; batch = 2 }
"""
STAGES = 'include "more/lets.lnet"\nstage sense(k) { filter: local(k, wide) }\n'
LETS = 'let wide = 3\nlet images = frames("photos", exclude = "/none.txt")\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    put(tmp_path, "main.lnet", MAIN)
    put(tmp_path, "parts/stages.lnet", STAGES)
    put(tmp_path, "parts/more/lets.lnet", LETS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_positions_count_on_from_file_to_file():
    source = Source("ab\nc", "a", (Source("de\n", "b"), Source("", "c"), Source("f", "d")))
    places = [(source.at(offset)[0].name, *source.position(offset)) for offset in range(12)]
    assert places == [
        *[("a", 1, 1), ("a", 1, 2), ("a", 1, 3), ("a", 2, 1), ("a", 2, 2)],
        *[("b", 1, 1), ("b", 1, 2), ("b", 1, 3), ("b", 2, 1)],
        *[("c", 1, 1), ("d", 1, 1), ("d", 1, 2)],
    ]


def test_stages_and_constants_of_included_files_are_in_one_scope(folder):
    plan = lnet.compile("main.lnet")
    assert str(plan.graph.layer("V1.filter").sheet) == "10x10x3"
    assert [file.name for file in plan.source.files] == [
        "main.lnet",
        "parts/stages.lnet",
        "parts/more/lets.lnet",
    ]


def test_a_path_is_relative_to_the_file_in_which_it_stands(folder):
    data = lnet.compile("main.lnet").graph.training.data
    assert (data.path, data.exclude) == ("parts/more/photos", "/none.txt")
    put(folder, "parts/more/lets.lnet", 'let wide = 3\nlet name = "photos"\nlet images = 1\n')
    put(folder, "main.lnet", MAIN.replace("data = images", "data = frames(name, classes = name)"))
    for name in ("main.lnet", folder / "main.lnet"):
        data = lnet.compile(name).graph.training.data
        assert (data.path, data.classes) == ("parts/more/photos", "parts/more/photos")


def test_a_file_that_is_reached_twice_counts_once(folder):
    os.symlink(folder / "parts/more/lets.lnet", folder / "again.lnet")
    put(
        folder,
        "main.lnet",
        'include "again.lnet"\ninclude "parts/../parts/stages.lnet"\n' + MAIN,
    )
    assert [Path(file.name).name for file in read_source("main.lnet").files] == [
        "main.lnet",
        "again.lnet",
        "stages.lnet",
    ]
    lnet.compile("main.lnet")


def test_the_plan_holds_all_texts_and_needs_no_file(folder):
    plan = lnet.compile("main.lnet")
    plan.save("main.plan")
    for name in ("parts/more/lets.lnet", "parts/stages.lnet", "main.lnet"):
        (folder / name).unlink()
    again = load_plan("main.plan")
    assert again.digest == plan.digest
    assert [file.text for file in again.source.files] == [MAIN, STAGES, LETS]
    assert again.source_digest == plan.source_digest
    assert again.line(again.graph.layer("V1.filter").span) == 2


def test_a_change_of_an_included_file_makes_a_plan_older(folder):
    plan = lnet.compile("main.lnet")
    plan.save("main.plan")
    assert plan.changed_source() is None
    assert plan.changed_source(folder) is None
    put(folder, "parts/more/lets.lnet", LETS + "let more = 1\n")
    assert plan.changed_source() == Path("parts/more/lets.lnet")
    assert plan.changed_source(folder) == folder / "parts/more/lets.lnet"
    result = lnetc("explain", "main.plan")
    assert "W606: the plan 'main.plan' is older than 'parts/more/lets.lnet'" in result.output
    other = lnet.compile("main.lnet")
    assert other.source_digest != plan.source_digest


def test_fmt_formats_a_file_alone(folder):
    text = 'include   "parts/stages.lnet" # what is\ninclude "none.lnet"\n\n\nlet a=1\nlet b=2\n'
    put(folder, "main.lnet", text)
    formatted = 'include "parts/stages.lnet"  # what is\ninclude "none.lnet"\n\nlet a = 1\nlet b = 2\n'
    assert format_source(read_file("main.lnet")) == formatted
    lnetc("fmt", "main.lnet")
    assert (folder / "main.lnet").read_text() == formatted
    assert (folder / "parts/stages.lnet").read_text() == STAGES


def test_diagnostics_as_json_name_their_file(folder):
    put(folder, "parts/stages.lnet", STAGES.replace("local", "locl"))
    (found,) = json.loads(lnetc("check", "main.lnet", "--json", status=1).stdout)
    assert (found["file"], found["line"], found["code"]) == ("parts/stages.lnet", 2, "E202")


def test_a_note_on_a_call_names_the_file_of_an_included_line(folder):
    put(folder, "parts/more/lets.lnet", LETS + "stage deep(k) { f: local(k, 1) }\n")
    put(folder, "parts/stages.lnet", STAGES + "stage outer() { a: deep(99) }\n")
    put(folder, "main.lnet", MAIN.replace("sense(wide)", "outer()"))
    with pytest.raises(LnetError) as caught:
        lnet.compile("main.lnet")
    text = str(caught.value)
    assert text.startswith("parts/more/lets.lnet:3:26: error E401: ")
    assert "in 'V1.a.f', called in line 3 of 'parts/stages.lnet', from line 2\n" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "parts/more/lets.lnet",
            None,
            "parts/stages.lnet:1:1: error E001: there is no file 'parts/more/lets",
        ),
        ("parts/more/lets.lnet", b"", "parts/more/lets.lnet:1:1: error E004: "),
        ("parts/more/lets.lnet", b"let wide = \xff\n", "parts/more/lets.lnet:1:12: error E003: "),
        ("parts/stages.lnet", b'include "stages.lnet"\n', "parts/stages.lnet:1:1: error E216: "),
        ("main.lnet", b'include "/"\n', "main.lnet:1:1: error E002: the file '/' cannot be read"),
    ],
)
def test_files_that_cannot_be_included(folder, name, content, message):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(LnetError) as caught:
        lnet.compile("main.lnet")
    assert str(caught.value).startswith(message)


def test_an_included_file_without_declarations_is_an_error(folder):
    put(folder, "parts/more/lets.lnet", "# nothing\n")
    with pytest.raises(LnetError) as caught:
        lnet.compile("main.lnet")
    assert "parts/more/lets.lnet:1:1: error E004: expected declarations such as" in str(caught.value)


def test_a_circle_is_named_with_every_place(folder):
    put(folder, "parts/more/lets.lnet", 'let a = 1\ninclude "../../main.lnet"\n')
    with pytest.raises(LnetError) as caught:
        lnet.compile("main.lnet")
    (found,) = caught.value.diagnostics
    assert (
        found.message
        == "'main.lnet' includes itself, through 'parts/stages.lnet', through 'parts/more/lets.lnet'"
    )
    places = [caught.value.source.at(s.start)[0].name for s in (found.span, *(s for s, _ in found.related))]
    assert places == ["main.lnet", "parts/stages.lnet", "parts/more/lets.lnet"]


def test_a_long_row_of_files_is_read(folder):
    for number in range(1200):
        put(folder, f"{number}.lnet", f'include "{number + 1}.lnet"\nlet a{number} = {number}\n')
    put(folder, "1200.lnet", "let wide = a3\n")
    put(
        folder,
        "main.lnet",
        'include "0.lnet"\nnetwork n { image: input(12x12x1); f: local(wide, 1); q: l2() }\n',
    )
    assert str(lnet.compile("main.lnet").graph.layer("f").sheet) == "10x10x1"


def test_a_text_without_a_path_includes_nothing():
    with pytest.raises(LnetError) as caught:
        compile_text(MAIN)
    assert next(d.code for d in caught.value.diagnostics) == "E218"


def test_a_constant_of_an_included_file_is_set_beside_the_file(folder):
    plan = lnet.compile("main.lnet", set={"let.wide": 5})
    assert str(plan.graph.layer("V1.filter").sheet) == "8x8x5"


@pytest.mark.parametrize("items", ["include: local(3, 2)", "include: local(3, 2); f: relu(of = include)"])
def test_include_is_a_name_elsewhere(items):
    compile_text(f"let include2 = 1; network n {{ image: input(9x9x1); {items}; q: l2() }}")
    compile_text("stage include() { f: relu() }\nnetwork n { image: input(9x9x1)\n V1: include()\n q: l2() }")
