"""`lnetc kinds`: the reference in the terminal."""

import json

import pytest
from commands import lnetc

from lnet.compiler.objectives import OBJECTIVE_KINDS
from lnet.compiler.ops import LAYER_KINDS
from lnet.compiler.rules import RULES


def test_a_kind_is_told_with_its_arguments_defaults_and_example():
    said = lnetc("kinds", "leaky_relu", "keep").output
    assert (
        said
        == """\
leaky_relu: layer
  x where that is above 0, else slope * x

  slope = 0.01          a non-negative number
  of = the layer above  a layer

  leaky_relu(slope = 0.1)

keep: setting
  Checkpoints kept

  keep = 3  a positive integer
"""
    )


def test_what_is_expected_stands_below_a_long_default():
    assert lnetc("kinds", "update").output.splitlines()[3:5] == [
        "  update = adagrad(rate = 0.01, initial = 0.1, schedule = constant, stale = full, rise = 0)",
        "      an update rule: adagrad(...), sgd(...), adam(...), adamw(...), rmsprop(...) or lion(...)",
    ]


def test_without_a_name_all_are_listed():
    said = lnetc("kinds").output
    listed = {line.split()[0] for line in said.splitlines() if line.startswith("  ") and line[2] != " "}
    assert {*LAYER_KINDS, *OBJECTIVE_KINDS, *RULES, "frames", "arrays", "zoom", "batch", "seed"} <= listed
    assert max(map(len, said.splitlines())) <= 100
    assert "below\n" not in said


def test_json_holds_what_the_terminal_shows():
    (sgd,) = json.loads(lnetc("kinds", "sgd", "--json").output)
    assert (sgd["what"], sgd["example"]) == ("update rule", "sgd(rate = 0.1, momentum = 0.9)")
    assert sgd["arguments"][0] == {"name": "rate", "default": None, "expected": "a number above 0"}


def test_data_have_the_defaults_of_training():
    said = lnetc("kinds", "frames").output
    assert "crop = random " in said
    assert "flip = true " in said


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lcol", "the language has no 'lcol'; did you mean 'local'"),
        ("Conv2d", "a convolution is a local layer whose positions share their weights"),
        ("optimizer", "write 'update = adam(rate = 0.001)'"),
        ("xyzzy", "the language has no 'xyzzy'; 'lnetc kinds' lists all"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, hint):
    assert hint in lnetc("kinds", name, status=2).output
