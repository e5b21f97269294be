"""Search spaces: settings with ranges and alternatives, as text and at points."""

import pytest

from lnet.compiler.space import Choice, Range, read_space
from lnet.dsl.diagnostics import InputError

RULES = "{adagrad(rate = 0.01..1), adam(rate = 1e-4..1e-2, schedule = {none, cosine})}"


def middle(variable):
    return variable.labels[-1] if isinstance(variable, Choice) else variable.low


def test_variables_have_the_paths_of_their_arguments():
    space = read_space(
        {"train.update": RULES, "let.field": "{5, 7, 9}", "let.a": "2 * 3..9", "let.b": "f(1..2, 3..4)"}
    )
    assert [(each.name, str(each)) for each in space.variables] == [
        ("train.update", "{adagrad, adam}"),
        ("train.update.adagrad.rate", "0.01..1, logarithmic"),
        ("train.update.adam.rate", "0.0001..0.01, logarithmic"),
        ("train.update.adam.schedule", "{none, cosine}"),
        ("let.field", "{5, 7, 9}"),
        ("let.a", "3..9"),
        ("let.b.1", "1..2"),
        ("let.b.2", "3..4"),
    ]
    assert space.at(middle) == {
        "train.update": "adam(rate = 0.0001, schedule = cosine)",
        "let.field": "9",
        "let.a": "2 * 3",
        "let.b": "f(1, 3)",
    }


@pytest.mark.parametrize(
    ("text", "low", "high", "whole", "logarithmic"),
    [
        ("1..10", 1, 10, True, True),
        ("1..9", 1, 9, True, False),
        ("0..1.0", 0, 1.0, False, False),
        ("0.05 .. 0.5", 0.05, 0.5, False, True),
        ("-1..1", -1, 1, True, False),
        ("-1e-3..-1e-4", -1e-3, -1e-4, False, False),
        ("x - 1..2", 1, 2, True, False),
        ("f(-2..-1)", -2, -1, True, False),
    ],
)
def test_ranges(text, low, high, whole, logarithmic):
    (found,) = read_space({"let.a": text}).variables
    assert isinstance(found, Range)
    assert (found.low, found.high, found.whole, found.logarithmic) == (low, high, whole, logarithmic)


def test_what_looks_like_a_range_in_a_text_is_none():
    space = read_space({"train.data": '{frames("1..2"), frames("{a, b}", flip = false)}'})
    (choice,) = space.variables
    assert choice.labels == ('frames("1..2")', 'frames("{a, b}", flip = false)')


def test_the_points_of_a_space_without_ranges():
    space = read_space({"let.a": "{f({1, 2}), 3}", "let.b": "{5, 7}"})
    points = [space.at_point(point) for point in space.whole.points()]
    assert [(each["let.a"], each["let.b"]) for each in points] == [
        *(("f(1)", "5"), ("f(1)", "7"), ("f(2)", "5")),
        *(("f(2)", "7"), ("3", "5"), ("3", "7")),
    ]
    assert space.whole.size == 6
    assert read_space({"train.update": RULES}).whole.size is None


def test_corners_have_every_alternative_and_both_ends():
    space = read_space({"train.update": RULES, "let.field": "{5, 7}"})
    corners = [space.at_point(corner) for corner in space.whole.corners()]
    assert [(each["train.update"], each["let.field"]) for each in corners] == [
        ("adagrad(rate = 0.01)", "5"),
        ("adagrad(rate = 1)", "5"),
        ("adam(rate = 0.0001, schedule = none)", "5"),
        ("adam(rate = 0.01, schedule = none)", "5"),
        ("adam(rate = 0.0001, schedule = cosine)", "5"),
        ("adagrad(rate = 0.01)", "7"),
    ]


@pytest.mark.parametrize(
    ("text", "message", "marked"),
    [
        ("adam(rate = 0.1..0.01)", "'0.1..0.01' is no range", "0.1..0.01"),
        ("1..1", "'1..1' is no range", "1..1"),
        ("0..1e999", "'0..1e999' is no range", "0..1e999"),
        ("adam(rate = low..0.01)", "'..' stands alone", ".."),
        ("1...5", "'...' stands alone", "..."),
        ("1..5x5", "'..' stands alone", ".."),
        ("{5, 7", "'{' is not closed", "{"),
        ("5}", "'}' stands alone", "}"),
        ("{5, }", "an alternative is missing before this", "}"),
        ("{5}", "one alternative is no choice", "{5}"),
        ("{5, 7, 5}", "the alternative '5' is there twice", "{5, 7, 5}"),
    ],
)
def test_a_malformed_space(text, message, marked):
    with pytest.raises(InputError) as caught:
        read_space({"let.a": text})
    place, _, line, carets, *_ = str(caught.value).splitlines()
    assert place.startswith("--set:1:")
    assert place.endswith(f"error E790: {message}")
    assert line == f"1 | let.a = {text}"
    assert line[carets.index("^") : len(carets)] == marked


def test_an_error_as_it_is_printed():
    with pytest.raises(InputError) as caught:
        read_space({"train.update": "adam(rate = 0.1..0.01)"})
    assert str(caught.value) == (
        "--set:1:28: error E790: '0.1..0.01' is no range\n"
        "  |\n"
        "1 | train.update = adam(rate = 0.1..0.01)\n"
        "  |                            ^^^^^^^^^\n"
        "  = hint: a range is two numbers, the smaller one first: 0.01..0.1"
    )


def test_a_space_in_which_nothing_varies():
    with pytest.raises(InputError, match="E790: no setting varies"):
        read_space({"let.a": "3"})
