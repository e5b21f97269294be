"""Parsing: spans, recovery, and what no file may do: hang, crash, or take quadratic time."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnet.dsl import nodes
from lnet.dsl.diagnostics import Collector, LnetError
from lnet.dsl.parser import parse, parse_source
from lnet.dsl.reader import decode_source
from lnet.dsl.source import Source

PROGRAM = """lnet 1
let k = 2 * 18x18
stage s(maps = 8, field) { f: local(field, maps) }
network n
{
    image: input(20x20x3); V: s(field = k,
        of = image)
}
train { data = frames("a\\"b\\\\\\n"); batch = 4 }
"""


def diagnostics(text):
    collector = Collector(Source(text, "t.lnet"))
    module = parse_source(collector)
    return module, collector.diagnostics


def test_spans_are_the_text_of_what_they_point_at():
    module = parse(PROGRAM)
    source = Source(PROGRAM, "t")

    def text(node):
        return source.text[node.span.start : node.span.end]

    let, stage, network, train = module.declarations
    assert text(let.value) == "2 * 18x18"
    assert text(stage.items[0]) == "f: local(field, maps)"
    assert text(network.items[1].arguments[1]) == "of = image"
    assert train.settings[0].value.arguments[0].value.value == 'a"b\\\n'


def test_crlf_and_byte_order_mark_make_no_difference():
    same = decode_source(b"\xef\xbb\xbf" + PROGRAM.replace("\n", "\r\n").encode(), "t.lnet")
    assert parse(same.text) == parse(PROGRAM)


def test_layout_makes_no_difference():
    assert parse(PROGRAM.replace("; V", "\n\n V").replace("(field = k,", "(\n\nfield = \n k,")) == parse(
        PROGRAM
    )


def test_after_an_error_reading_goes_on():
    module, found = diagnostics(
        "let = 3\nstage s(x { f: local(3, 4) }\nnetwork n {\n  image: input(3x3x1\n  V: local(,)\n  W: lcn(3)\n}\n"
        "train { batch 3; steps = 4 }\n"
    )
    assert [d.code for d in found] == ["E101"] * 5
    network = next(d for d in module.declarations if isinstance(d, nodes.Network))
    assert [i.name.text for i in network.items if isinstance(i, nodes.Item)] == ["W"]
    train = next(d for d in module.declarations if isinstance(d, nodes.Train))
    assert [s.name.text for s in train.settings if isinstance(s, nodes.Setting)] == ["steps"]


@pytest.mark.parametrize("following", ["W: lcn(3)", "W[2]: lcn(3)"])
def test_an_open_parenthesis_does_not_swallow_the_next_item(following):
    module, found = diagnostics(
        f"network n {{\n  V: local(3,\n    stride = 2,\n  {following}\n  X: lcn(5)\n}}\n"
    )
    assert [d.code for d in found] == ["E101"]
    assert [item.name for item in module.declarations[0].items[:1]] == ["V"]
    assert [item.name.text for item in module.declarations[0].items[1:]] == ["W", "X"]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(PROGRAM) - 1), st.text(max_size=3), st.integers(0, 6))
def test_one_broken_place_is_survived(place, inserted, dropped):
    text = PROGRAM[:place] + inserted + PROGRAM[place + dropped :]
    _, found = diagnostics(text)
    assert all(0 <= d.span.start <= len(text) for d in found if d.span is not None)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_binary_junk_gives_diagnostics(data):
    with pytest.raises(LnetError, match="error E"):
        parse(decode_source(data, "junk").text)


SPELLINGS = "lnet let stage network train n V ( ) [ ] { } , : = + - * / // . ; 1 3x3 true"
TOKENS = st.sampled_from([*SPELLINGS.split(), '"a"', "\n"])


@settings(max_examples=300, deadline=None)
@given(st.lists(TOKENS, max_size=40))
def test_any_sequence_of_tokens_is_read_to_its_end(tokens):
    diagnostics(" ".join(tokens))


@pytest.mark.parametrize("opening", ["(", "[", "-", "f("])
def test_deep_nesting_is_an_error(opening):
    _, found = diagnostics(f"let a = {opening * 100_000}")
    assert found[0].code == "E103"


def test_sixty_four_levels_are_fine():
    assert diagnostics(f"let a = {'(' * 64}1{')' * 64}\n")[1] == []


def calls(text):
    """Return how many functions are called to parse a text: what the time is spent on, but the same every time."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        parse(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "unit",
    [
        "    layer_{}: local(18, 8, stride = 2, of = image)  # a comment\n",
        "    q: f({})\n",
        "    q: f([{}, 2x2], (1 + 2) * -a.b); r: g()\n",
    ],
)
def test_work_is_linear_in_size(unit):
    def program(size):
        body = "".join(unit.format(i) for i in range(size // len(unit)))
        return f"network n {{\n{body}}}\n"

    parse(program(1000))
    assert calls(program(100_000)) < 4.4 * calls(program(25_000))


@pytest.mark.slow
def test_a_megabyte():
    line = "    V: local(18, 8, stride = 2, of = image)  # a comment\n"
    count = 2**20 // len(line)
    module = parse(f"network n {{\n{line * count}}}\n")
    assert len(module.declarations[0].items) == count


def test_a_long_sum_is_no_deeper_than_a_short_one():
    module = parse("let a = " + " + ".join(["1"] * 50_000))
    assert len(module.declarations[0].value.rest) == 49_999
