import pytest

import lnet
from lnet.compiler.pipeline import compile_text
from lnet.dsl.diagnostics import LnetError

TEXT = """let k = 3
network n { image: input(9x9x1); f: local(k, 2); p: l2pool(2); learn: rica() }
train { batch = 4 }
"""


def test_settings_and_constants():
    graph = compile_text(
        TEXT, {"train.batch": "50", "train.update": "sgd(rate = 0.1)", "let.k": "2 + 3"}
    ).graph
    assert (graph.training.batch, graph.training.update.kind) == (50, "sgd")
    assert graph.layer("f").op.window.field.rows == 5


def test_python_values():
    plan = lnet.compile(lnet.parse(TEXT), set={"train.batch": 50, "let.k": 5, "train.staleness": None})
    assert plan.graph.training.batch == 50
    assert plan.overrides == (("train.batch", "50"), ("let.k", "5"), ("train.staleness", "none"))


def test_without_a_train_block():
    graph = compile_text(TEXT.partition("train")[0], {"train.batch": "7"}).graph
    assert graph.training.batch == 7


@pytest.mark.parametrize(
    ("name", "text", "messages"),
    [
        ("let.kk", "3", ["E511", "did you mean"]),
        ("train.bach", "3", ["E510", "did you mean 'batch'"]),
        ("batch", "3", ["E511", "what can be set is 'train.KEY' and 'let.NAME'"]),
        ("train.batch", "3 +", ["--set train.batch=3 +:2:1: error E101"]),
        ("train.batch", "3; steps = 4", ["E101", "found 'steps'"]),
        ("train.batch", "0", ["E306", "'train.batch' was set to '0' beside the file"]),
        ("let.k", "20", ["E401"]),
    ],
)
def test_wrong_settings(name, text, messages):
    with pytest.raises(LnetError) as caught:
        compile_text(TEXT, {name: text}, "n.lnet")
    for message in messages:
        assert message in str(caught.value)
