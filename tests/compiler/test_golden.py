"""What each stage of the compiler makes of one small program; `UPDATE=1` writes the texts anew."""

import json
from pathlib import Path

import pytest
from commands import lnetc
from pinned import pinned

from lnet.compiler.graph.passes import PASSES

GOLDEN = Path(__file__).parent / "golden"
STAGES = ["ast", "graph", *(f"graph:{each.name}" for each in PASSES), "partition", "schedule", "placement"]


def emit(stage, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    return lnetc("compile", "small.lnet", "--workers", 4, "--emit", stage).stdout


@pytest.mark.parametrize("stage", STAGES)
def test_stage(stage, monkeypatch):
    pinned(GOLDEN / f"small.{stage.replace(':', '-')}.txt", emit(stage, monkeypatch))


def test_plan(monkeypatch):
    data = json.loads(emit("plan", monkeypatch))
    pinned(GOLDEN / "small.plan.json", json.dumps(data, indent=1, sort_keys=True) + "\n")


def test_explanation(monkeypatch):
    monkeypatch.chdir(GOLDEN)
    pinned(GOLDEN / "small.explain.txt", lnetc("explain", "small.lnet", "--workers", 4).stdout)


def test_picture(monkeypatch, tmp_path):
    monkeypatch.chdir(GOLDEN)
    target = tmp_path / "small.svg"
    lnetc("explain", "small.lnet", "--workers", 4, "--svg", target)
    pinned(GOLDEN / "small.svg", target.read_text())


def test_an_unknown_stage_lists_the_known_ones(monkeypatch):
    monkeypatch.chdir(GOLDEN)
    result = lnetc("compile", "small.lnet", "--emit", "llvm", status=1)
    assert "E609: there is no stage 'llvm'" in result.output
    assert "graph:expand_rica" in result.output


OBJECTIVES = """
network n {
    image: input(9x8x2)
    f: local(3, 2x2, bias = true, of = image); p: l2pool(2); learn: rica(sparsity = 0.1)
    s: smooth(of = f, wrap = true, bias = true); small: weight_l1(f)
    k: dense(3, of = p); both: weight_l2([f, k]); n: batchnorm(); named: cross_entropy(); apart: contrast(); near: cosine_error(target = k)
}
train { data = frames("pictures", views = 2) }
"""


@pytest.mark.parametrize("stage", STAGES)
def test_every_objective_in_every_stage(stage, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("n.lnet").write_text(OBJECTIVES)
    text = lnetc("compile", "n.lnet", "--tiles", "2x2", "--emit", stage).stdout
    assert len(text) > 100
    if stage == "schedule":
        assert "term both weights f.weight" in text
        assert "term small weights f.weight" in text
